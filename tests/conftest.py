"""What holds for all tests."""

import torch

# on a busy machine two threads of torch spend their time waiting for each other
torch.set_num_threads(1)
