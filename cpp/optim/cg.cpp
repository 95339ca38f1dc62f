// Nonlinear conjugate gradients (Nocedal and Wright, Numerical Optimization, 2006, Algorithm 5.4),
//
//     d_{k+1} = -g_{k+1} + beta_{k+1} d_k,    y_k = g_{k+1} - g_k,
//     beta^PR+ = max(0, g_{k+1}.y_k / g_k.g_k)        (Polak and Ribiere, 1969; 5.44, 5.45)
//     beta^HS+ = max(0, g_{k+1}.y_k / d_k.y_k)        (Hestenes and Stiefel, 1952; 5.46)
#include "optim/line_search.hpp"
#include "optim/methods.hpp"

namespace mlpcore {

template <class T>
void run_cg(Objective<T>& objective, Point<T>& at, Conjugacy conjugacy, Course<T>& course) {
    LineSearch<T> search(objective, 0.1);
    std::vector<T> d(at.v.size());
    double beta = 0, step = 0, slope_before = 0;
    bool ended = course.begun(at, [&](Archive& a) {
        a.fixed("d", d);
        a("beta", beta);
        a("step", step);
        a("slope", slope_before);
    });
    while (!ended) {
        double slope = 0;
        do {
            if (beta == 0) {
                assign(-1, at.g, d);
            } else {
                assign(beta, d, d);
                axpy(-1, at.g, d);
            }
            slope = dot(at.g, d);
            step = slope < 0
                       ? search(at, d, slope,
                                similar_step(step, slope_before, slope, objective.shares.reach()))
                       : 0;
            if (step == 0 && beta == 0) {
                return course.exhausted();
            }
            beta = step == 0 ? 0 : beta; // once more along the gradient
        } while (step == 0);
        slope_before = slope;

        const std::vector<T>& before = search.previous().g;
        const double gg = dot(before, before), gy = dot(at.g, at.g) - dot(at.g, before);
        const double dy = dot(at.g, d) - slope;
        const bool polak_ribiere = conjugacy == Conjugacy::polak_ribiere;
        beta = std::max(0.0, gy / (polak_ribiere ? gg : dy));
        beta = std::isfinite(beta) ? beta : 0;
        ended = course.ended(at);
    }
}

template void run_cg(Objective<double>&, Point<double>&, Conjugacy, Course<double>&);
template void run_cg(Objective<float>&, Point<float>&, Conjugacy, Course<float>&);

} // namespace mlpcore
