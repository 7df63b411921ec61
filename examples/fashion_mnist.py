"""Trains a small convolutional network on Fashion-MNIST: `make demo`."""

import argparse
import sys
import time

import numpy as np

import tegula as tg
from tegula import nn, train
from tegula.data import DataLoader, TensorDataset, fashion_mnist


class Net(nn.Module):
    """Two convolutions and two linear layers: (N, 1, 28, 28) uint8 → (N, 10) logits."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        )  # fmt: skip
        self.classifier = nn.Sequential(
            nn.Flatten(), nn.Linear(32 * 7 * 7, 128), nn.ReLU(), nn.Dropout(0.2), nn.Linear(128, 10)
        )

    def forward(self, images):
        """Logits of a batch of images."""
        x = (images.astype(tg.float32) / 255 - 0.286) / 0.353
        return self.classifier(self.features(x))


def train_epoch(model, loader, optimizer, schedule, progress, interrupt):
    """One epoch, or what is left of it; False if Ctrl-C ended it early."""
    loss_function = nn.CrossEntropyLoss()
    model.train()
    for images, labels in loader:
        logits = model(images)
        loss = loss_function(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        progress.update(loss, logits, labels)
        if interrupt and progress.step < len(loader):
            return False
    return True


def evaluate(model, dataset):
    """Mean loss, accuracy, and the predicted class of every image."""
    model.eval()
    total, predicted = 0.0, []
    with tg.no_grad(), DataLoader(dataset, batch_size=500) as loader:
        for images, labels in loader:
            logits = model(images)
            total += nn.functional.cross_entropy(logits, labels, reduction="sum").item()
            predicted.append(tg.argmax(logits, axis=1).numpy())
    predicted = np.concatenate(predicted)
    return total / len(dataset), float(np.mean(predicted == dataset.arrays[1])), predicted


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, help="use only so many training images")
    parser.add_argument("--data", help="folder with the IDX files")
    parser.add_argument("--run", help="folder of the results (default: runs/<time>)")
    parser.add_argument("--resume", help="folder of an interrupted run to go on with")
    options = parser.parse_args(arguments)
    saved = None
    if options.resume:
        saved = tg.io.load_checkpoint(f"{options.resume}/checkpoint.safetensors")
        vars(options).update(saved["options"], run=options.resume)
    name = options.run or time.strftime("runs/fashion-mnist-%Y%m%d-%H%M%S")
    run = train.RunFolder(name, saved["history"] if saved else ())

    tg.manual_seed(options.seed)
    training, test = (fashion_mnist(options.data, split) for split in ("train", "test"))
    if options.limit:
        training = TensorDataset(*(array[: options.limit] for array in training.arrays))
    loader = DataLoader(training, options.batch_size, shuffle=True, drop_last=True)
    model = Net()
    optimizer = tg.optim.AdamW(model.parameters(), lr=options.lr)
    steps = options.epochs * len(loader)
    schedule = tg.optim.lr_scheduler.warmup_cosine(optimizer, max(steps // 20, 1), steps)
    progress = train.Progress(options.epochs, len(loader))
    parts = {"model": model, "optimizer": optimizer, "schedule": schedule}
    parts |= {"loader": loader, "progress": progress}
    if saved:
        for name, part in parts.items():
            part.load_state_dict(saved[name])
        tg.random.set_state(saved["random"])
    print(model, f"{len(training):,} training images, {tg.get_num_threads()} threads", sep="\n")

    with train.Interrupt() as interrupt:
        for epoch in range(loader.epoch, options.epochs):
            progress.begin(epoch)
            if not train_epoch(model, loader, optimizer, schedule, progress, interrupt):
                state = {name: part.state_dict() for name, part in parts.items()}
                state |= {"random": tg.random.get_state(), "options": vars(options)}
                state["history"] = run.history
                tg.io.save_checkpoint(run.path("checkpoint.safetensors"), state)
                progress.report("Interrupted. To go on:")
                print(f"  {sys.executable} -m tegula demo --resume {run.folder}")
                return 130
            loss, accuracy, predicted = evaluate(model, test)
            run.log(epoch=epoch + 1, **progress.means(), test_loss=loss, test_accuracy=accuracy)
            progress.report(f"epoch {epoch + 1}: test loss {loss:.4f}, accuracy {accuracy:.2%}")

    tg.io.save(run.path("weights.safetensors"), model.state_dict())
    run.path("checkpoint.safetensors").unlink(missing_ok=True)
    images, labels = test.arrays
    matrix = train.confusion_matrix(labels, predicted, len(test.classes))
    train.plot_curves(run.history, run.path("curves.png"))
    train.plot_confusion(matrix, test.classes, run.path("confusion.png"))
    grid = images[:40, 0], labels[:40], predicted[:40]
    train.plot_samples(*grid, test.classes, run.path("samples.png"))
    print(f"Test accuracy: {accuracy:.2%}")
    print("Files:", *sorted(run.folder.iterdir()), sep="\n  ")
    print(f"To classify an image:\n  {sys.executable} -m tegula predict {run.folder} 7")
    return 0


if __name__ == "__main__":
    sys.exit(main())
