#!/usr/bin/env python3
"""Makes digits.bin, the demo's data, from the copy of the UCI handwritten digits inside scikit-learn.

    pip install scikit-learn
    python data/make_digits.py

The file has no header: 1,797 images of 8 x 8 pixels, one byte a pixel with values 0 to 16,
row by row, image after image. The labels are left out. README.md beside it says where the
data comes from and under which licence.
"""

import hashlib
import pathlib

import numpy as np
from sklearn.datasets import load_digits

images = load_digits().images
assert images.shape == (1797, 8, 8), images.shape
assert images.min() == 0 and images.max() == 16 and (images == np.round(images)).all()

data = images.astype(np.uint8).tobytes()
assert len(data) == 115_008
path = pathlib.Path(__file__).resolve().parent / "digits.bin"
path.write_bytes(data)
print(f"{path.name}: {len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()}")
