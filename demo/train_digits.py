"""Train a small neural network on scikit-learn's handwritten digits: 1,797 real images of 8 x 8 pixels.

    python train_digits.py --output FOLDER [--epochs N]

Prints a line per epoch; leaves metrics.json and model.pkl in FOLDER.
"""

import argparse
import json
import pickle
import time
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import accuracy_score, confusion_matrix
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler


def shifted(images: np.ndarray) -> np.ndarray:
    """The images and their eight copies moved by one pixel: a digit stays the same digit."""
    squares = images.reshape(-1, 8, 8)
    moves = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)]
    return np.concatenate([np.roll(squares, move, axis=(1, 2)).reshape(-1, 64) for move in moves])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--output", type=Path, required=True, help="where metrics.json and model.pkl go")
    parser.add_argument("--epochs", type=int, default=20)
    options = parser.parse_args()

    images, labels = load_digits(return_X_y=True)
    train_x, test_x, train_y, test_y = train_test_split(images, labels, test_size=0.25, stratify=labels, random_state=7)
    print(f"{len(images)} images: {len(train_x)} to train on, {len(test_x)} held back to test", flush=True)
    train_x, train_y = shifted(train_x), np.tile(train_y, 9)
    scaler = StandardScaler().fit(train_x)
    train_x, test_x = scaler.transform(train_x), scaler.transform(test_x)

    model = MLPClassifier(hidden_layer_sizes=(128, 64), batch_size=32, random_state=7)
    started = time.monotonic()
    epochs = []
    for epoch in range(1, options.epochs + 1):
        model.partial_fit(train_x, train_y, classes=range(10))
        accuracy = accuracy_score(test_y, model.predict(test_x))
        epochs.append({"epoch": epoch, "loss": round(float(model.loss_), 6), "testAccuracy": round(accuracy, 4)})
        print(f"epoch {epoch:2d}/{options.epochs}  loss {model.loss_:.4f}  test accuracy {accuracy:.4f}", flush=True)

    metrics = {
        "images": len(images),
        "accuracy": epochs[-1]["testAccuracy"],
        "seconds": round(time.monotonic() - started, 2),
        "epochs": epochs,
        "confusion": confusion_matrix(test_y, model.predict(test_x)).tolist(),
    }
    (options.output / "metrics.json").write_text(json.dumps(metrics, indent=2), encoding="utf-8")
    with (options.output / "model.pkl").open("wb") as file:
        pickle.dump({"scaler": scaler, "model": model}, file)
    print(f"final test accuracy {metrics['accuracy']:.4f} after {metrics['seconds']} s", flush=True)


if __name__ == "__main__":
    main()
