"""PRML figure 5.13: gradient descent that is stopped early ends near the minimum of weight decay.

With learning rate rho and curvatures eta_j, tau steps from the origin reach the share
1 - (1 - rho eta_j)^tau of the minimum w_ML along eigenvector j (exercise 5.25); weight decay lambda
leaves the share eta_j / (eta_j + lambda).  Both are near 1 where eta_j is well above lambda, and
near rho tau eta_j and eta_j / lambda where it is well below: lambda acts like 1 / (rho tau).

python examples/figure_5_13.py [output folder]
"""

import numpy as np
from common import save

import mlpcore
from mlpcore import plots
from mlpcore.plots.style import BLUE, ORANGE

ETA = np.array([0.1, 1.5])  # eigenvalues of the Hessian
MINIMUM = np.array([2.0, 1.5])  # w_ML
RHO = 0.1
LAMBDA = 0.4


def main() -> None:
    # A network without hidden units has a quadratic error; of these inputs the Hessian is
    # diag(ETA), and the bias, which stays 0, has no part in it.
    net = mlpcore.Network((2, 1))
    X = np.vstack([np.diag(np.sqrt(ETA / 2)), -np.diag(np.sqrt(ETA / 2))])
    T = X @ MINIMUM
    path = [net.init(scheme="zeros")]
    for _ in range(1000):
        path.append(path[-1] - RHO * net.gradient(path[-1], X, T))
    path = np.array(path)[:, :2]

    print(
        "weight decay lambda, the step tau nearest to its minimum, and how near in units of |w_ML|"
    )
    print(f"{'lambda':>8}{'1/(rho lambda)':>16}{'tau':>6}{'lambda rho tau':>16}{'distance':>10}")
    for decay in (0.05, 0.1, 0.2, LAMBDA, 0.8, 1.6):
        tau, distance = nearest(path, decayed(net, X, T, decay))
        print(
            f"{decay:8.2f}{1 / (RHO * decay):16.1f}{tau:6}{decay * RHO * tau:16.2f}"
            f"{distance / np.linalg.norm(MINIMUM):10.3f}"
        )
    with_decay = decayed(net, X, T, LAMBDA)
    tau = round(1 / (RHO * LAMBDA))
    print(f"shares of w_ML at lambda = {LAMBDA} and at tau = 1/(rho lambda) = {tau}:")
    for j, eta in enumerate(ETA):
        print(
            f"  eta_{j + 1} = {eta}: weight decay {with_decay[j] / MINIMUM[j]:.3f}, "
            f"stopped {path[tau, j] / MINIMUM[j]:.3f}"
        )

    figure = plots.figure(5, 3.8)
    ax = figure.subplots()
    w1, w2 = np.meshgrid(np.linspace(-0.4, 3.3, 300), np.linspace(-0.4, 2.3, 300))
    error = 0.5 * (ETA[0] * (w1 - MINIMUM[0]) ** 2 + ETA[1] * (w2 - MINIMUM[1]) ** 2)
    ax.contour(w1, w2, error, levels=[0.02, 0.08, 0.18, 0.5, 1.0, 1.8], colors="0.75",
               linewidths=0.9)  # fmt: skip
    ax.axhline(0, color="0.4", linewidth=0.7)
    ax.axvline(0, color="0.4", linewidth=0.7)
    ax.plot(*path.T, "-", color=BLUE, linewidth=1.4)
    minima = np.array([decayed(net, X, T, decay) for decay in np.geomspace(1e-4, 1e3, 80)])
    ax.plot(*minima.T, "--", color=ORANGE, linewidth=1.2)
    ax.plot(*path[: tau + 1].T, "o", color=BLUE, markersize=2.6)
    marks = (
        (path[tau], "o", BLUE, rf"stopped after $\tau = {tau}$ steps", (9, 9)),
        (with_decay, "s", ORANGE, rf"weight decay $\lambda = {LAMBDA}$", (9, -12)),
        (MINIMUM, "*", "black", r"$\mathbf{w}_{\mathrm{ML}}$", (7, 8)),
    )
    for where, marker, color, text, offset in marks:
        ax.plot(*where, marker, color=color, markersize=11 if marker == "*" else 7, zorder=5)
        # The contours stop around the words.
        ax.annotate(
            text, where, offset, textcoords="offset points", color=color, fontsize="small",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},
        )  # fmt: skip
    ax.set_xlabel(rf"$w_1$   (curvature $\eta_1 = {ETA[0]}$)")
    ax.set_ylabel(rf"$w_2$   (curvature $\eta_2 = {ETA[1]}$)")
    ax.set_aspect("equal")
    ax.spines[["top", "right"]].set_visible(False)
    save(figure, "figure_5_13")


def decayed(net: mlpcore.Network, X: np.ndarray, T: np.ndarray, decay: float) -> np.ndarray:
    """The minimum with weight decay."""
    start = net.init(scheme="zeros")
    return mlpcore.minimize(net, start, X, T, weight_decay=decay).w[:2]


def nearest(path: np.ndarray, w: np.ndarray) -> tuple[int, float]:
    distances = np.linalg.norm(path - w, axis=1)
    return int(distances.argmin()), float(distances.min())


if __name__ == "__main__":
    main()
