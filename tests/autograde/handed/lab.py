# %% setup=true
from pathlib import Path

import torch  # noqa: F401 - for answers: one variant is a tensor

from coursekit.check import open_lab

check = open_lab("handed")
numbers = [int(line) for line in Path("numbers.txt").read_text().split()]

# %% exercise="odd"
odd = None
### BEGIN SOLUTION
odd = [n % 2 for n in numbers]
### END SOLUTION

# %% check="odd" points=1 hidden=3
