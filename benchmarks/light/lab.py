# %% [markdown] lang="en"
# # A light assignment

# %% [markdown] lang="zh"
# # 轻量作业

# %% setup=true
import torch
import torchvision

from coursekit.check import open_lab
from coursekit.models import get_model

check = open_lab("light")

# %% [markdown] lang="en" about="power"
# The n-th power of a square matrix.

# %% [markdown] lang="zh" about="power"
# 方阵的 n 次幂。


# %% exercise="power"
def power(A, n):
    """Return A multiplied by itself, n factors in all."""
    ### BEGIN SOLUTION
    product = A
    for _ in range(n - 1):
        product = product @ A
    return product
    ### END SOLUTION


# %% check="power" points=2 hidden=1

# %% [markdown] lang="en" about="flat"
# All but the first axis in one.

# %% [markdown] lang="zh" about="flat"
# 把第一维以外的各维合成一维。


# %% exercise="flat"
def flat(X):
    """Return X of shape (N, ...) as (N, D)."""
    ### BEGIN SOLUTION
    return X.reshape(len(X), -1)
    ### END SOLUTION


# %% check="flat" points=1 hidden=1

# %%
torch.manual_seed(0)
model = get_model("lenet")
images = torchvision.transforms.functional.rotate(torch.rand(64, 1, 28, 28), 10)
print(sum(model(images).square().mean().item() for _ in range(140)))
