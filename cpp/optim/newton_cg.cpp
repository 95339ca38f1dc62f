// Newton's method in a trust region (Nocedal and Wright, Numerical Optimization, 2006, Algorithm
// 4.1), the steps by conjugate gradients until the border, a direction of negative curvature, or
// enough precision (Steihaug, 1983; their Algorithm 7.2), all in the weights v of Typical.
#include "optim/methods.hpp"
#include "optim/vectors.hpp"

namespace mlpcore {

namespace {

// Minimizes m(p) = g.p + 1/2 p.H p within |p| <= radius, to a residual of `tolerance`. Inside, p, g
// and H are those in v.
template <class T> class Steihaug {
  public:
    explicit Steihaug(std::size_t n) : step(n), g(n), d_(n), r_(n), hd_(n), h_step_(n), in_w_(n) {}

    std::vector<T> step, g; // in w, in v
    double length = 0;      // of the step, in v
    bool at_border = false;

    // Takes the gradient there, and returns its length.
    double begin(Objective<T>& objective, const Point<T>& at) {
        g = at.g;
        objective.typical.shorten(g);
        return std::sqrt(dot(g, g));
    }

    // Returns -m(step), the decrease that the model promises.
    double solve(Objective<T>& objective, const Point<T>& at, ProductKind kind, double radius,
                 double tolerance) {
        std::fill(step.begin(), step.end(), T(0));
        h_step_ = step;
        r_ = g;
        assign(-1, r_, d_);
        at_border = false;
        double rr = dot(r_, r_);
        const double small = tolerance * tolerance * rr;
        for (index i = 0; i < objective.size() && rr > small && !at_border; ++i) {
            in_w_ = d_;
            objective.typical.shorten(in_w_);
            objective.product(at.w, in_w_, kind, hd_);
            objective.typical.shorten(hd_);
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
        const double promised = -dot(g, step) - 0.5 * dot(step, h_step_);
        length = std::sqrt(dot(step, step));
        objective.typical.shorten(step);
        return promised;
    }

  private:
    // tau >= 0 with |step + tau d| = radius.
    double to_border(double radius, double dd) const {
        const double sd = dot(step, d_), ss = dot(step, step);
        const double room = std::max(radius * radius - ss, 0.0);
        return room / (sd + std::sqrt(sd * sd + dd * room)); // no cancellation: s.d >= 0
    }

    std::vector<T> d_, r_, hd_, h_step_, in_w_;
};

} // namespace

template <class T>
void run_newton_cg(Objective<T>& objective, Point<T>& at, ProductKind kind, Course<T>& course) {
    constexpr double eps = std::numeric_limits<T>::epsilon();
    Steihaug<T> model(at.w.size());
    Point<T> trial(objective.size());
    double radius = 0, first_gradient = 0;
    bool is_refused = false; // a step from here
    bool ended = course.begun(at, [&](Archive& a) {
        a("radius", radius);
        a("first_gradient", first_gradient);
    });
    while (!ended) {
        const double gradient_norm = model.begin(objective, at);
        if (first_gradient == 0) { // not the radius: that of a tiny step may underflow
            trial.w = at.w;
            objective.typical.lengthen(trial.w);
            const double size = std::sqrt(dot(trial.w, trial.w)), reach = objective.typical.reach;
            radius = size > 0 && reach == 1 ? size : std::max(size, reach);
            first_gradient = gradient_norm;
        }
        // Superlinear convergence (7.2), in relative terms.
        const double tolerance = std::min(0.5, std::sqrt(gradient_norm / first_gradient));
        const double promised = model.solve(objective, at, kind, radius, tolerance);
        if (!(promised > eps * std::abs(at.value)) ||
            relative_size(model.step, at.w, objective.typical.w) <= eps) {
            // A border that nothing has shown to be too far may be far too near.
            if (model.at_border && !is_refused && std::isfinite(radius)) {
                radius *= 10;
                continue;
            }
            return course.exhausted();
        }
        std::copy(at.w.begin(), at.w.end(), trial.w.begin());
        axpy(1, model.step, trial.w);
        objective.evaluate(trial);
        const double ratio = (at.value - trial.value) / promised; // 4.4
        if (!(ratio >= 0.25)) {
            // Where squares underflow a step may be beyond the border.
            radius = 0.25 * std::min(model.length, 2 * radius);
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
