// L-BFGS (Nocedal and Wright, Numerical Optimization, 2006, Algorithms 7.4 and 7.5) with a line
// search for the strong Wolfe conditions (their Algorithms 3.5 and 3.6). An epoch is an iteration
// on the full batch.
#include <cmath>
#include <deque>
#include <limits>

#include "optim/session.hpp"

namespace mlpcore {

namespace {

constexpr std::size_t memory = 10; // pairs (s, y) kept
constexpr double sufficient_decrease = 1e-4, curvature = 0.9;
constexpr int most_trials = 30;

template <class T> struct Pair {
    std::vector<T> s, y;
    double rho; // 1 / s.y
};

// A point of the line w + step * direction, with what was found there.
template <class T> struct Trial {
    double step = 0;
    double value = std::numeric_limits<double>::infinity();
    double slope = 0; // the derivative along the line
    double error = 0; // the mean error, without the penalty
    std::vector<T> w, g;
};

template <class T> class Line {
  public:
    Line(TrainingSession<T>& session, const Trial<T>& start, const std::vector<T>& direction)
        : session_(session), start_(start), direction_(direction) {}

    Trial<T> at(double step) const {
        Trial<T> t{.step = step, .w = start_.w, .g = std::vector<T>(start_.w.size())};
        const auto n = static_cast<index>(t.w.size());
        kernels<T>().axpy(n, static_cast<T>(step), direction_.data(), t.w.data());
        t.error = session_.mean_gradient(t.w.data(), t.g.data());
        t.value = t.error + session_.penalty(t.w.data());
        t.slope = kernels<T>().dot(n, t.g.data(), direction_.data());
        if (!std::isfinite(t.value) || !std::isfinite(t.slope)) {
            t.value = std::numeric_limits<double>::infinity();
        }
        return t;
    }

    bool decreases_enough(const Trial<T>& t) const {
        return t.value <= start_.value + sufficient_decrease * t.step * start_.slope;
    }
    bool is_flat_enough(const Trial<T>& t) const {
        return std::abs(t.slope) <= -curvature * start_.slope;
    }

    // A point that satisfies both, or the best decrease found; nullptr-like step 0 if none.
    Trial<T> search(double first_step) const {
        Trial<T> low = start_;
        low.step = 0; // it was measured along the line before
        double step = first_step;
        for (int i = 0; i < most_trials; ++i) {
            Trial<T> t = at(step);
            if (!decreases_enough(t) || (i > 0 && t.value >= low.value)) {
                return zoom(std::move(low), std::move(t), most_trials - i);
            }
            if (is_flat_enough(t)) {
                return t;
            }
            if (t.slope >= 0) {
                return zoom(std::move(t), std::move(low), most_trials - i);
            }
            low = std::move(t);
            step *= 2;
        }
        return low;
    }

  private:
    // `low` has the lowest value so far that decreases enough, and its slope points to `high`.
    Trial<T> zoom(Trial<T> low, Trial<T> high, int trials) const {
        for (int i = 0; i < trials; ++i) {
            const double width = high.step - low.step;
            if (std::abs(width) <= 1e-14 * std::abs(low.step)) {
                break;
            }
            Trial<T> t = at(low.step + width * interpolate(low, high, width));
            if (!decreases_enough(t) || t.value >= low.value) {
                high = std::move(t);
                continue;
            }
            if (is_flat_enough(t)) {
                return t;
            }
            if (t.slope * width >= 0) {
                high = std::move(low);
            }
            low = std::move(t);
        }
        return low;
    }

    // The minimum of the parabola through low's value and slope and high's value, as a share of
    // the interval, away from its ends.
    static double interpolate(const Trial<T>& low, const Trial<T>& high, double width) {
        const double rise = high.value - low.value - low.slope * width;
        const double share = -low.slope * width / (2 * rise);
        return std::isfinite(share) ? std::clamp(share, 0.1, 0.9) : 0.5;
    }

    TrainingSession<T>& session_;
    const Trial<T>& start_;
    const std::vector<T>& direction_;
};

// -H g by the two-loop recursion (Algorithm 7.4).
template <class T>
std::vector<T> quasi_newton_direction(const std::deque<Pair<T>>& pairs, const std::vector<T>& g) {
    const Kernels<T>& k = kernels<T>();
    const auto n = static_cast<index>(g.size());
    std::vector<T> q = g;
    std::vector<double> alpha(pairs.size());
    for (std::size_t i = pairs.size(); i-- > 0;) {
        alpha[i] = pairs[i].rho * k.dot(n, pairs[i].s.data(), q.data());
        k.axpy(n, static_cast<T>(-alpha[i]), pairs[i].y.data(), q.data());
    }
    double scale = -1;
    if (!pairs.empty()) {
        const Pair<T>& last = pairs.back();
        scale = -1 / (last.rho * k.dot(n, last.y.data(), last.y.data()));
    }
    for (T& x : q) {
        x *= static_cast<T>(scale);
    }
    for (std::size_t i = 0; i < pairs.size(); ++i) {
        const double beta = pairs[i].rho * k.dot(n, pairs[i].y.data(), q.data());
        k.axpy(n, static_cast<T>(-alpha[i] - beta), pairs[i].s.data(), q.data());
    }
    return q;
}

} // namespace

template <class T> void run_lbfgs(TrainingSession<T>& session, T* w) {
    const Kernels<T>& k = kernels<T>();
    const index n = session.net.n_weights;
    const auto size = static_cast<std::size_t>(n);
    const double tolerance = sizeof(T) == 8 ? 1e-9 : 1e-5; // of the gradient's largest element

    Trial<T> current{.w = std::vector<T>(w, w + n), .g = std::vector<T>(size)};
    current.error = session.mean_gradient(current.w.data(), current.g.data());
    current.value = current.error + session.penalty(current.w.data());
    std::deque<Pair<T>> pairs;
    while (!session.record(current.error, current.w.data())) {
        double largest = 0;
        for (const T x : current.g) {
            largest = std::max(largest, std::abs(static_cast<double>(x)));
        }
        if (largest <= tolerance) {
            session.stop(Stop::converged);
            return;
        }
        std::vector<T> direction = quasi_newton_direction(pairs, current.g);
        current.slope = k.dot(n, current.g.data(), direction.data());
        if (!(current.slope < 0)) {
            pairs.clear();
            direction = quasi_newton_direction(pairs, current.g);
            current.slope = k.dot(n, current.g.data(), direction.data());
        }
        const double first_step =
            pairs.empty() ? std::min(1.0, 1 / std::sqrt(-current.slope)) : 1.0;
        Trial<T> next = Line<T>(session, current, direction).search(first_step);
        if (!(next.value < current.value)) {
            if (!pairs.empty()) { // the curvature may be stale: once more along the gradient
                pairs.clear();
                direction = quasi_newton_direction(pairs, current.g);
                current.slope = k.dot(n, current.g.data(), direction.data());
                next = Line<T>(session, current, direction)
                           .search(std::min(1.0, 1 / std::sqrt(-current.slope)));
            }
            if (!(next.value < current.value)) {
                session.stop(Stop::converged); // nothing lower to the precision of T
                return;
            }
        }
        Pair<T> pair{.s = next.w, .y = next.g, .rho = 0};
        k.axpy(n, T(-1), current.w.data(), pair.s.data());
        k.axpy(n, T(-1), current.g.data(), pair.y.data());
        const double sy = k.dot(n, pair.s.data(), pair.y.data());
        if (sy > 0) {
            pair.rho = 1 / sy;
            pairs.push_back(std::move(pair));
            if (pairs.size() > memory) {
                pairs.pop_front();
            }
        }
        current = std::move(next);
    }
}

template void run_lbfgs(TrainingSession<double>&, double*);
template void run_lbfgs(TrainingSession<float>&, float*);

} // namespace mlpcore
