"""The code of PyTorch's 60-minute blitz: tensors, autograd, a network, a classifier."""


def tensors(torch):
    import numpy as np

    data = [[1, 2], [3, 4]]
    x_data = torch.tensor(data)
    x_np = torch.from_numpy(np.array(data))
    x_ones = torch.ones_like(x_data)
    x_rand = torch.rand_like(x_data, dtype=torch.float)
    assert x_rand.dtype == torch.float32 and x_np.equal(x_data) and x_ones.sum() == 4
    shape = (2, 3)
    assert torch.zeros(shape).shape == torch.Size([2, 3])
    tensor = torch.ones(4, 4)
    tensor[:, 1] = 0
    t1 = torch.cat([tensor, tensor, tensor], dim=1)
    assert t1.shape == (4, 12)
    y = tensor.mul(tensor) + tensor.matmul(tensor.T)
    tensor.add_(5)
    return [y.sum().item(), tensor.sum().item()]


def gradients(torch):
    a = torch.tensor([2.0, 3.0], requires_grad=True)
    b = torch.tensor([6.0, 4.0], requires_grad=True)
    Q = 3 * a**3 - b**2
    Q.backward(gradient=torch.tensor([1.0, 1.0]))
    assert bool((9 * a**2 == a.grad).all()) and bool((-2 * b == b.grad).all())
    return a.grad.tolist() + b.grad.tolist()


def network(torch):
    nn, F = torch.nn, torch.nn.functional

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1 = nn.Conv2d(1, 6, 5)
            self.conv2 = nn.Conv2d(6, 16, 5)
            self.fc1 = nn.Linear(16 * 5 * 5, 120)
            self.fc2 = nn.Linear(120, 84)
            self.fc3 = nn.Linear(84, 10)

        def forward(self, input):
            c1 = F.relu(self.conv1(input))
            s2 = F.max_pool2d(c1, (2, 2))
            c3 = F.relu(self.conv2(s2))
            s4 = F.max_pool2d(c3, 2)
            s4 = torch.flatten(s4, 1)
            f5 = F.relu(self.fc1(s4))
            f6 = F.relu(self.fc2(f5))
            return self.fc3(f6)

    return Net()


def run(torch, fill):
    losses = [*tensors(torch), *gradients(torch)]
    net = network(torch)
    params = list(net.parameters())
    assert len(params) == 10 and params[0].size() == (6, 1, 5, 5)
    fill(net)
    input = torch.linspace(-1, 1, 32 * 32).view(1, 1, 32, 32)
    out = net(input)
    net.zero_grad()
    out.backward(torch.ones(1, 10))
    net.zero_grad()
    target = torch.linspace(0, 1, 10).view(1, -1)
    criterion = torch.nn.MSELoss()
    for f in net.parameters():
        assert f.grad is None
    loss = criterion(net(input), target)
    loss.backward()
    losses.append(loss.item())
    learning_rate = 0.01
    for f in net.parameters():
        f.data.sub_(f.grad.data * learning_rate)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    for _ in range(3):
        optimizer.zero_grad()
        loss = criterion(net(input), target)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    _, predicted = torch.max(net(input).data, 1)
    assert predicted.shape == (1,)
    return losses
