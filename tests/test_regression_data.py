"""The user's folder of regression data, and recorded results: what is read, and what is said where it is not there."""

import numpy as np
import pytest

from paper_figs import one_shot_tuning, published_tables, regression_data
from paper_figs.regression_data import ANALYSERS, FILES, SENSORS, VARIABLE, available, load, record, recorded

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _no_folder(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)


@pytest.fixture
def folder(tmp_path):
    """The files of the user's folder, small, with the same keys."""
    uci = tmp_path / "uci"
    uci.mkdir()
    X, y = RNG.normal(size=(30, 4)), RNG.normal(size=30)
    np.savez(uci / "airfoil.npz", X=X, y=y, feature_names=np.array(list("abcd")), target_name=np.array("t"))
    np.savez(uci / "blog_feedback.npz", X_train=X, y_train=y, X_test=X[:5] + 9, y_test=y[:5])
    gaps = X.copy()
    gaps[3, 1] = np.nan
    np.savez(uci / "communities_crime.npz", X=gaps, y=y, fold=np.ones(30), state=np.ones(30))
    columns = ["CO(GT)", *SENSORS, "C6H6(GT)", "NOx(GT)", "NO2(GT)", "NMHC(GT)"]
    data = RNG.normal(size=(30, 13))
    data[0, columns.index("T")] = data[1, columns.index("NO2(GT)")] = data[2, columns.index("NOx(GT)")] = np.nan
    data[:, columns.index("NMHC(GT)")] = np.nan
    np.savez(uci / "air_quality.npz", data=data, columns=np.array(columns), time=np.arange(30))
    return tmp_path


@pytest.mark.parametrize("below", ["", "uci"])
def test_loaders_read_either_folder(folder, below, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(folder / below))
    assert available() == ["diabetes", "airfoil", "air_quality", "blog_feedback", "communities_crime"]
    assert load("airfoil").X.shape == (30, 4)
    assert load("blog_feedback").X.max() < 9
    assert load("communities_crime").X.shape == (30, 3)
    air = load("air_quality")
    assert air.X.shape == (28, 8)
    assert regression_data.air_quality(ANALYSERS).X.shape == (27, 8)
    with np.load(folder / "uci" / "air_quality.npz") as file:
        names = file["columns"].tolist()
        np.testing.assert_array_equal(air.y, file["data"][2:, names.index("NO2(GT)")])
        np.testing.assert_array_equal(air.X[:, -3], file["data"][2:, names.index("T")])


def test_loaders_say_what_they_miss(folder, monkeypatch):
    assert available() == ["diabetes"]
    assert load("diabetes").X.shape == (442, 10)
    with pytest.raises(FileNotFoundError, match=r"airfoil needs KDTHEORY_DATA, the folder that contains uci/airfoil.npz"):
        load("airfoil")
    with pytest.raises(ValueError, match=r"`name` must be one of diabetes, airfoil, .*, got 'boston'"):
        load("boston")
    monkeypatch.setenv(VARIABLE, str(folder))
    with pytest.raises(FileNotFoundError, match=r"concrete needs concrete.npz in the folder that KDTHEORY_DATA names"):
        load("concrete")
    monkeypatch.setenv(VARIABLE, str(folder / "elsewhere"))
    for call in (available, one_shot_tuning.compute, published_tables.compute):
        with pytest.raises(FileNotFoundError) as caught:
            call()
        told = str(caught.value)
        assert told.startswith("KDTHEORY_DATA must name the folder that contains uci/*.npz")
        assert "airfoil.npz" in told
        assert str(folder / "elsewhere" / "uci") in told
        assert "\n" not in told


def test_a_pickle_is_not_opened(folder, monkeypatch):
    np.savez(folder / "uci" / "concrete.npz", X=np.array([{}], dtype=object), y=np.zeros(1))
    monkeypatch.setenv(VARIABLE, str(folder))
    with pytest.raises(ValueError, match="allow_pickle"):
        load("concrete")


def test_records_are_written_whole_and_read_back(tmp_path, monkeypatch, capsys):
    table = {"name": np.array(["a, b", "c"]), "count": np.array([1, 2]), "value": np.array([1 / 3, np.nan])}
    record(lambda: table, ["diabetes"], ["--record", str(tmp_path / "some.csv")])
    monkeypatch.setattr(regression_data, "DATA", tmp_path)
    back = recorded("some.csv")
    assert back["name"].tolist() == ["a, b", "c"]
    assert back["count"].tolist() == [1, 2]
    np.testing.assert_allclose(back["value"], table["value"], rtol=1e-5)
    assert recorded("some.csv", text=("value",))["value"].tolist() == ["0.333333", "nan"]
    with pytest.raises(SystemExit):
        record(lambda: table, FILES, ["--record", str(tmp_path / "other.csv")])
    assert "there is no airfoil, air_quality" in capsys.readouterr().err
    monkeypatch.setenv(VARIABLE, str(tmp_path / "elsewhere"))
    with pytest.raises(SystemExit):
        record(lambda: table, FILES, ["--record", str(tmp_path / "other.csv")])
    assert "KDTHEORY_DATA must name the folder that contains uci" in capsys.readouterr().err
    assert not (tmp_path / "other.csv").exists()
