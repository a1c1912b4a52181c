# %% [markdown] lang="en"
# # A tiny lab

# %% [markdown] lang="zh"
# # 一个小实验

# %% setup=true
import torch

from coursekit.check import open_lab

check = open_lab("tiny")

# %% [markdown] lang="en" about="scale"
# Multiply a tensor by a factor.

# %% [markdown] lang="zh" about="scale"
# 把张量乘上一个因子。


# %% exercise="scale"
def scale(x, factor):
    """Return `factor * x`."""
    ### BEGIN SOLUTION
    return factor * x
    ### END SOLUTION


# %% check="scale" points=1 hidden=2

# %% [markdown] lang="en" about="mean_of"
# The mean of all values, without `torch.mean`.

# %% [markdown] lang="zh" about="mean_of"
# 求所有值的平均,不用 `torch.mean`。


# %% exercise="mean_of"
def mean_of(x):
    """Return the mean of all values of `x`."""
    ### BEGIN SOLUTION
    return x.sum() / x.numel()
    ### END SOLUTION


# %% check="mean_of" points=1 hidden=1

# %%
print(scale(torch.ones(2), 3))

# %% [markdown] lang="en"
# Why is the mean linear?

# %% [markdown] lang="zh"
# 为什么平均是线性的?

# %% [markdown] written="why" points=2
# Because a sum is.
# === BEGIN MARK SCHEME ===
# 2 points for the sum.
# === END MARK SCHEME ===
