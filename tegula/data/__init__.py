"""Data sets and loading them in batches, in PyTorch's vocabulary."""

from tegula.data.dataset import Dataset, Subset, TensorDataset, random_split
from tegula.data.fashion import FashionMNIST, fashion_mnist
from tegula.data.idx import load_idx
from tegula.data.loader import DataLoader, default_collate

__all__ = [
    "DataLoader",
    "Dataset",
    "FashionMNIST",
    "Subset",
    "TensorDataset",
    "default_collate",
    "fashion_mnist",
    "load_idx",
    "random_split",
]
