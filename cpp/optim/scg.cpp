// Scaled conjugate gradients (Moller, A scaled conjugate gradient algorithm for fast supervised
// learning, Neural Networks 6, 1993; the numbers of steps are those of its page 530), with exact
// products of the Hessian (PRML 5.96 to 5.111) in place of differences of gradients. The scale
// lambda, which its author starts with 1e-6, starts as that share of the first curvature, so that
// it does not depend on the units of the error. Where there is neither curvature nor scale the step
// is as long as the weights, and one that misses makes the next no shorter than a quarter of it:
// the author's step 8 may cut it to nothing where the error grows faster than a parabola.
#include "optim/methods.hpp"
#include "optim/vectors.hpp"

namespace mlpcore {

template <class T>
void run_scg(Objective<T>& objective, Point<T>& at, ProductKind kind, Course<T>& course) {
    const auto n = at.v.size();
    constexpr double smallest = std::numeric_limits<T>::epsilon();
    std::vector<T> p(n), hp(n), step(n); // the direction, H p
    Point<T> trial(objective.size());
    double lambda = -1, delta = 0; // delta = p.H p + lambda p.p
    bool success = true;
    index since_restart = 0;
    assign(-1, at.g, p);
    bool ended = course.begun(at, [&](Archive& a) {
        a.fixed("p", p);
        a("lambda", lambda);
        a("since_restart", since_restart);
    });
    while (!ended) {
        const double pp = dot(p, p), mu = -dot(p, at.g);
        if (success) { // step 2
            objective.product(at.v, p, kind, hp);
            delta = dot(p, hp);
            lambda = lambda < 0 ? 1e-6 * std::abs(delta) / pp : lambda;
            delta += lambda * pp; // step 3
        }
        if (!(delta > 0)) { // step 4: the Hessian made positive definite along p
            const double raised = 2 * (lambda - delta / pp);
            delta = lambda * pp - delta;
            lambda = raised;
        }
        if (!(delta > 0)) {
            delta = mu * relative_size(p, at.v, objective.typical.w);
            lambda = delta / pp;
        }
        assign(mu / delta, p, step); // step 5
        if (!(relative_size(step, at.v, objective.typical.w) > smallest)) {
            return course.exhausted();
        }
        objective.evaluate(at, 1, step, trial);
        const double decrease = at.value - trial.value;
        // Step 6; the products may be beyond the range where their ratio is not.
        const double comparison = 2 * (delta / mu) * (decrease / mu);
        success = comparison > 0;
        const double before = lambda;
        if (success) { // step 7
            std::swap(at, trial);
            const double beta = (dot(at.g, at.g) - dot(at.g, trial.g)) / mu;
            ++since_restart;
            if (since_restart >= objective.size()) {
                since_restart = 0;
                assign(-1, at.g, p);
            } else {
                assign(beta, p, p);
                axpy(-1, at.g, p);
            }
            if (!(dot(p, at.g) < 0)) {
                since_restart = 0;
                assign(-1, at.g, p);
            }
            if (comparison >= 0.75) {
                lambda /= 4;
            }
        }
        if (!(comparison >= 0.25)) { // step 8; a comparison may be a NaN
            const double short_of = comparison > -2 ? 1 - comparison : 3;
            lambda += delta * short_of / pp;
        }
        if (success) {
            ended = course.ended(at);
        } else { // step 3, for the raised scale
            const double raised = delta + (lambda - before) * pp;
            if (!(raised > delta)) { // the products are below the range
                return course.exhausted();
            }
            delta = raised;
        }
    }
}

template void run_scg(Objective<double>&, Point<double>&, ProductKind, Course<double>&);
template void run_scg(Objective<float>&, Point<float>&, ProductKind, Course<float>&);

} // namespace mlpcore
