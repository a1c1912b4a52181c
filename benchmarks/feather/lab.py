# %% [markdown] lang="en"
# # An assignment as light as a feather

# %% [markdown] lang="zh"
# # 轻如羽毛的作业

# %% setup=true
from coursekit.check import open_lab

check = open_lab("feather")

# %% [markdown] lang="en" about="total"
# The sum of the squares of some numbers.

# %% [markdown] lang="zh" about="total"
# 若干数的平方和。


# %% exercise="total"
def total(numbers):
    """Return the sum of the squares."""
    ### BEGIN SOLUTION
    return sum(number * number for number in numbers)
    ### END SOLUTION


# %% check="total" points=1 hidden=1

# %% [markdown] lang="en" about="mirrored"
# A text, read from its end.

# %% [markdown] lang="zh" about="mirrored"
# 从后往前读的一段文字。


# %% exercise="mirrored"
def mirrored(text):
    """Return the text backwards."""
    ### BEGIN SOLUTION
    return text[::-1]
    ### END SOLUTION


# %% check="mirrored" points=1 hidden=1

# %%
print(sum(i * i for i in range(700_000)))
