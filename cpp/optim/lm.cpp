// Levenberg-Marquardt: with the Gauss-Newton Hessian H (PRML 5.84 for the sum of squares, 5.85 and
// its generalization for the cross-entropies: H = sum_n J_n^T B_n J_n with J = dz^L/dw and the
// curvature B = d2E_n/dz^L dz^L of the output),
//
//     (H + diag(R'') + lambda I) step = -g                     (Levenberg, 1944; Marquardt, 1963)
//
// with lambda by the ratio of the decrease to the promised one (Nielsen, Damping parameter in
// Marquardt's method, 1999, equation 2.13), and, on demand, the geodesic acceleration of Transtrum
// and Sethna (Improvements to the Levenberg-Marquardt algorithm, 2012, section 3), whose second
// step is, with the second derivative z'' of the outputs along the first,
//
//     (H + diag(R'') + lambda I) bend = -1/2 J^T B z''.
#include <memory>
#include <optional>

#include "optim/cholesky.hpp"
#include "optim/methods.hpp"
#include "optim/vectors.hpp"

namespace mlpcore {

namespace {

// The second step. z'' is a difference of outputs, and J^T B z'' the gradient of the error for
// targets t = y - B z'', since that is J^T (y - t); those of softmax sum to 1, as they must.
template <class T> class GeodesicAcceleration {
  public:
    explicit GeodesicAcceleration(const Objective<T>& objective)
        : shifted_(static_cast<std::size_t>(objective.size())),
          z_(static_cast<std::size_t>(objective.data.n * objective.net.n_outputs)), ahead_(z_),
          behind_(z_), y_(z_) {}

    // `bend` for `step` from `v`.
    void compute(Objective<T>& objective, const std::vector<T>& v, const std::vector<T>& step,
                 Cholesky<T>& factor, std::vector<T>& bend) {
        constexpr double h = 0.1; // of the step; what the authors advise
        outputs(objective, v, step, 0, true, z_);
        outputs(objective, v, step, h, true, ahead_);
        outputs(objective, v, step, -h, true, behind_);
        outputs(objective, v, step, 0, false, y_);
        for (std::size_t i = 0; i < z_.size(); ++i) {
            z_[i] = (ahead_[i] - 2 * z_[i] + behind_[i]) / static_cast<T>(h * h);
        }
        targets(objective.net);
        Batch<T> synthetic = objective.data;
        synthetic.t = z_.data();
        synthetic.labels = nullptr;
        objective.error_gradient(v, synthetic, bend);
        factor.solve(bend.data());
        assign(-0.5, bend, bend);
    }

  private:
    void outputs(Objective<T>& objective, const std::vector<T>& v, const std::vector<T>& step,
                 double share, bool logits, std::vector<T>& to) {
        std::copy(v.begin(), v.end(), shifted_.begin());
        axpy(share, step, shifted_);
        objective.outputs(shifted_, logits, to);
    }

    // z'' becomes y - B z'', B of PRML 5.75, 5.76.
    void targets(const NetworkView& net) {
        const auto k = static_cast<std::size_t>(net.n_outputs);
        for (std::size_t row = 0; row < z_.size(); row += k) {
            T mean = 0;
            for (std::size_t i = row; i < row + k && net.output == Output::softmax; ++i) {
                mean += y_[i] * z_[i];
            }
            for (std::size_t i = row; i < row + k; ++i) {
                const T y = y_[i];
                const T b = net.output == Output::linear    ? z_[i]
                            : net.output == Output::sigmoid ? y * (1 - y) * z_[i]
                                                            : y * (z_[i] - mean);
                z_[i] = y - b;
            }
        }
    }

    std::vector<T> shifted_, z_, ahead_, behind_, y_;
};

} // namespace

template <class T>
void run_lm(Objective<T>& objective, Point<T>& at, bool acceleration, Course<T>& course) {
    constexpr double eps = std::numeric_limits<T>::epsilon();
    constexpr double longest_bend = 0.75; // 2 |bend| / |step|; Transtrum and Sethna, equation 15
    const index n = objective.size();
    const auto size = static_cast<std::size_t>(n);
    // Not cleared: to touch so much memory for the first time may take seconds.
    const auto h = std::make_unique_for_overwrite<T[]>(size * size);
    std::vector<T> shift(size), step(size), bend(size);
    Cholesky<T> factor(n);
    std::optional<GeodesicAcceleration<T>> geodesic;
    if (acceleration) {
        geodesic.emplace(objective);
    }
    Point<T> trial(n);
    double most = -1, lambda = 0, growth = 2;
    if (course.begun(at, [&](Archive& a) {
            a("most", most);
            a("lambda", lambda);
            a("growth", growth);
        })) {
        return;
    }
    objective.gauss_newton(at.v, h.get());
    if (most < 0) {
        most = 0;
        for (index i = 0; i < n; ++i) {
            most = std::max(most, static_cast<double>(h[static_cast<std::size_t>(i * n + i)]));
        }
        if (most == 0) { // all outputs saturated; the damping must grow from something
            most = eps * relative_size(at.g, at.v, objective.typical.w);
        }
        lambda = 1e-3 * most;
    }
    const auto reject = [&] {
        lambda = growth * std::max(lambda, eps * most);
        growth *= 2;
    };
    while (true) {
        std::fill(shift.begin(), shift.end(), static_cast<T>(lambda));
        objective.add_penalty_diagonal(at.v, shift);
        ++objective.counts.factorizations;
        if (!factor.factor(h.get(), shift.data(), objective.interrupt)) {
            if (!std::isfinite(lambda)) {
                return course.exhausted();
            }
            reject(); // singular
            continue;
        }
        assign(-1, at.g, step);
        factor.solve(step.data());
        // The decrease of g.s + 1/2 s.(H + R'') s, by the equation of the step.
        const double promised = 0.5 * (lambda * dot(step, step) - dot(at.g, step));
        if (!(promised > eps * std::abs(at.value)) ||
            relative_size(step, at.v, objective.typical.w) <= eps) {
            return course.exhausted();
        }
        if (geodesic) {
            geodesic->compute(objective, at.v, step, factor, bend);
            if (!(4 * dot(bend, bend) <= longest_bend * longest_bend * dot(step, step))) {
                reject(); // the model does not hold so far out
                continue;
            }
            axpy(1, bend, step);
        }
        objective.evaluate(at, 1, step, trial);
        const double ratio = (at.value - trial.value) / promised;
        if (!(ratio > 0)) {
            reject();
            continue;
        }
        std::swap(at, trial);
        const double closeness = 2 * std::min(ratio, 1.0) - 1;
        lambda *= std::max(1.0 / 3, 1 - closeness * closeness * closeness);
        growth = 2;
        if (course.ended(at)) {
            return;
        }
        objective.gauss_newton(at.v, h.get());
    }
}

template void run_lm(Objective<double>&, Point<double>&, bool, Course<double>&);
template void run_lm(Objective<float>&, Point<float>&, bool, Course<float>&);

} // namespace mlpcore
