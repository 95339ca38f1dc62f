// Newton's method in a trust region (Nocedal and Wright, Numerical Optimization, 2006, Algorithm
// 4.1), the steps by conjugate gradients until the border, a direction of negative curvature, or
// enough precision (Steihaug, 1983; their Algorithm 7.2).
#include "optim/methods.hpp"
#include "optim/vectors.hpp"

namespace mlpcore {

namespace {

// Minimizes m(p) = g.p + 1/2 p.H p within |p| <= radius, to a residual of `tolerance`.
template <class T> class Steihaug {
  public:
    explicit Steihaug(std::size_t n) : step(n), d_(n), r_(n), hd_(n), h_step_(n) {}

    std::vector<T> step;
    bool at_border = false;

    // Returns -m(step), the decrease that the model promises.
    double solve(Objective<T>& objective, const Point<T>& at, ProductKind kind, double radius,
                 double tolerance) {
        std::fill(step.begin(), step.end(), T(0));
        h_step_ = step;
        r_ = at.g;
        assign(-1, r_, d_);
        at_border = false;
        double rr = dot(r_, r_);
        const double small = tolerance * tolerance * rr;
        for (index i = 0; i < objective.size() && rr > small && !at_border; ++i) {
            objective.product(at.v, d_, kind, hd_);
            const double curvature = dot(d_, hd_), dd = dot(d_, d_);
            const double far = to_border(radius, dd);
            const double length = curvature > 0 ? std::min(rr / curvature, far) : far;
            at_border = length == far;
            axpy(length, d_, step);
            axpy(length, hd_, h_step_);
            axpy(length, hd_, r_);
            const double rr_before = rr;
            rr = dot(r_, r_);
            assign(rr / rr_before, d_, d_);
            axpy(-1, r_, d_);
        }
        return -dot(at.g, step) - 0.5 * dot(step, h_step_);
    }

  private:
    // tau >= 0 with |step + tau d| = radius.
    double to_border(double radius, double dd) const {
        const double sd = dot(step, d_), ss = dot(step, step);
        const double room = std::max(radius * radius - ss, 0.0);
        return room / (sd + std::sqrt(sd * sd + dd * room)); // no cancellation: s.d >= 0
    }

    std::vector<T> d_, r_, hd_, h_step_;
};

} // namespace

template <class T>
void run_newton_cg(Objective<T>& objective, Point<T>& at, ProductKind kind, Course<T>& course) {
    constexpr double eps = std::numeric_limits<T>::epsilon();
    Steihaug<T> model(at.v.size());
    Point<T> trial(objective.size());
    double radius = 0, first_gradient = 0;
    bool is_refused = false; // a step from here
    bool ended = course.begun(at, [&](Archive& a) {
        a("radius", radius);
        a("first_gradient", first_gradient);
    });
    while (!ended) {
        const double gradient_norm = std::sqrt(dot(at.g, at.g));
        if (first_gradient == 0) { // not the radius: that of a tiny step may underflow
            const double size = std::sqrt(dot(at.v, at.v)), reach = objective.shares.reach();
            radius = size > 0 && reach == 1 ? size : std::max(size, reach);
            first_gradient = gradient_norm;
        }
        // Superlinear convergence (7.2), in relative terms.
        const double tolerance = std::min(0.5, std::sqrt(gradient_norm / first_gradient));
        const double promised = model.solve(objective, at, kind, radius, tolerance);
        if (!(promised > eps * std::abs(at.value)) ||
            relative_size(model.step, at.v, objective.typical.w) <= eps) {
            // A border that nothing has shown to be too far may be far too near.
            if (model.at_border && !is_refused && std::isfinite(radius)) {
                radius *= 10;
                continue;
            }
            return course.exhausted();
        }
        objective.evaluate(at, 1, model.step, trial);
        const double ratio = (at.value - trial.value) / promised; // 4.4
        if (!(ratio >= 0.25)) {
            // Where squares underflow a step may be beyond the border.
            radius = 0.25 * std::min(std::sqrt(dot(model.step, model.step)), 2 * radius);
            is_refused = true;
            if (radius == 0) {
                return course.exhausted();
            }
        } else if (ratio > 0.75 && model.at_border) {
            radius *= 2;
        }
        if (ratio > 1e-4) {
            std::swap(at, trial);
            is_refused = false;
            ended = course.ended(at);
        }
    }
}

template void run_newton_cg(Objective<double>&, Point<double>&, ProductKind, Course<double>&);
template void run_newton_cg(Objective<float>&, Point<float>&, ProductKind, Course<float>&);

} // namespace mlpcore
