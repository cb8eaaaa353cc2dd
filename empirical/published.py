"""Published datasets: their classes, where they are usually unpacked, how to get them, and the digests that they must have."""

from __future__ import annotations

__all__ = ["PUBLISHED", "published_digests"]

PUT_IDX = "Put train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz and the two t10k- files there, in a folder"
PUT_CIFAR = "(www.cs.toronto.edu/~kriz/cifar.html) there, unpacked or not."
PUBLISHED = {  # classes, where it is usually unpacked, how to get it
    "mnist": (10, ("MNIST/raw", "MNIST"), f"{PUT_IDX} mnist (yann.lecun.com/exdb/mnist)."),
    "fashion_mnist": (
        10,
        ("FashionMNIST/raw", "FashionMNIST", "fashion-mnist"),
        f"{PUT_IDX} fashion_mnist (github.com/zalandoresearch/fashion-mnist).",
    ),
    "cifar10": (
        10,
        ("cifar-10-batches-py", "cifar-10-batches-bin", "cifar-10-python.tar.gz", "cifar-10-binary.tar.gz"),
        f"Put cifar-10-python.tar.gz or cifar-10-binary.tar.gz {PUT_CIFAR}",
    ),
    "cifar100": (
        100,
        ("cifar-100-python", "cifar-100-binary", "cifar-100-python.tar.gz", "cifar-100-binary.tar.gz"),
        f"Put cifar-100-python.tar.gz or cifar-100-binary.tar.gz {PUT_CIFAR}",
    ),
    "svhn": (
        10,
        ("SVHN",),
        "Put train_32x32.mat and test_32x32.mat (ufldl.stanford.edu/housenumbers) there, in a folder svhn.",
    ),
}
DIGESTS = """
mnist train-images-idx3-ubyte.gz f68b3c2dcbeaaa9fbdd348bbdeb94873
mnist train-labels-idx1-ubyte.gz d53e105ee54ea40749a09fcbcd1e9432
mnist t10k-images-idx3-ubyte.gz 9fb629c4189551a2d022fa330f9573f3
mnist t10k-labels-idx1-ubyte.gz ec29112dd5afa0611ce80d1b7f02629c
fashion_mnist train-images-idx3-ubyte.gz 8d4fb7e6c68d591d4c3dfef9ec88bf0d
fashion_mnist train-labels-idx1-ubyte.gz 25c81989df183df01b3e8a0aad5dffbe
fashion_mnist t10k-images-idx3-ubyte.gz bef4ecab320f06d8554ea6380940ec79
fashion_mnist t10k-labels-idx1-ubyte.gz bb300cfdad3c16e7a12a480ee83cd310
fashion_mnist x_train(60000,28,28,1) sha256:2e487a6c89124f78f2d7521542223cafe96f7123c3ca13d447772ac6ecbb3012
fashion_mnist y_train(60000,) sha256:657fbd221bfc9f4198cc14b5619cc33ec57c58dd0e47af4d99d6650759e869a7
fashion_mnist x_test(10000,28,28,1) sha256:c867c93ff95360594e8ec3287995350b824dd110b11595c0e13d5423f621867a
fashion_mnist y_test(10000,) sha256:3d0e6c6ea990b53b6f8f500a41cac93881d981b315f84578b7d915342ade01e9
cifar10 data_batch_1 c99cafc152244af753f735de768cd75f
cifar10 data_batch_2 d4bba439e000b95fd0a9bffe97cbabec
cifar10 data_batch_3 54ebc095f3ab1f0389bbae665268c751
cifar10 data_batch_4 634d18415352ddfa80567beed471001a
cifar10 data_batch_5 482c414d41f54cd18b22e5b47cb7c3cb
cifar10 test_batch 40351d587109b95175f43aff81a1287e
cifar10 data_batch_1.bin 5dd7e06a14cb22eb9f671a540d1b7c25
cifar10 data_batch_2.bin 5ea93a67294ea407fff1d09f752e9692
cifar10 data_batch_3.bin 942cd6a4bcdd0dd3c604fbe906cb4421
cifar10 data_batch_4.bin ae636b3ba5c66a11e91e8cb52e771fcb
cifar10 data_batch_5.bin 53f37980c15c3d472c316c40844f3f0d
cifar10 test_batch.bin 803d5f7f4d78ea53de84dbe85f74fb6d
cifar10 x_train(50000,32,32,3) sha256:47af8b02cfcfb6cdf3dbbd1969ad7f1b70f4413f6f80f437b020ee4e5bc8304a
cifar10 x_test(10000,32,32,3) sha256:f9b1e2130bab680db56eb06d886f7f1ad0f1183907ceff4659d1735c890f5b04
cifar10 y_train(50000,) sha256:2b7cd2f24487317614016b72ffd53071c3062f592f0eb300c18a770d41ae1253
cifar10 y_test(10000,) sha256:cec8a24a1e92aa2ecaa0bbd3dbfa86bf6cd8759fbd209a832824c8cf0afca9d5
cifar10_full_16x16 x_train(50000,16,16,3) sha256:b2e5d91ebb8f31e13bd8abc133dd21e2d569f2288f11b2c288b7f201a5e89ace
cifar10_full_16x16 x_test(10000,16,16,3) sha256:fda52ce130ca2fe6d0362c5ce05fc84c46d93c66ee97ba05421fe917b528c4b5
cifar10_12k_2k x_train(12000,32,32,3) sha256:987d1ca56e27433fcbd254ab5dc6c0da1c0c8c7f9df1b9628b84340f946c6994
cifar10_12k_2k x_test(2000,32,32,3) sha256:c4a7787446e43a311684b5504602ea08c2055dfb2639216a10dd9b4478fb9b40
cifar100 train 16019d7e3df5f24257cddd939b257f8d
cifar100 test f0ef6b0ae62326f3e7ffdfab6717acfc
svhn train_32x32.mat e26dedcc434d2e4c54c9b2d4a06d8373
svhn test_32x32.mat eb5a983be6a315427106f1b164d9cef3
"""  # MD5 of published files, SHA-256 of arrays as bytes with the channel last


def published_digests(name: str) -> dict[str, str]:
    """Digests of the files and of the arrays of a published dataset, or of an extract of it."""
    return {what: known for whose, what, known in map(str.split, DIGESTS.split("\n")[1:-1]) if whose == name}
