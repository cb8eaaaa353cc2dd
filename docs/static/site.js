// a long list of pages opens at the page that is shown
addEventListener("DOMContentLoaded", () => {
  const here = document.querySelector(".sidebar-tree .current-page"), box = document.querySelector(".sidebar-scroll");
  if (here && box) box.scrollTop = here.offsetTop - box.clientHeight / 2;
});
