// Gradient descent (PRML 5.41; Cauchy, 1847), d = -g, with a line search.
#include "optim/line_search.hpp"
#include "optim/methods.hpp"

namespace mlpcore {

template <class T> void run_gd(Objective<T>& objective, Point<T>& at, Course<T>& course) {
    LineSearch<T> search(objective, 0.9);
    std::vector<T> d(at.v.size());
    double step = 0, slope_before = 0;
    bool ended = course.begun(at, [&](Archive& a) {
        a("step", step);
        a("slope", slope_before);
    });
    while (!ended) {
        assign(-1, at.g, d);
        const double slope = dot(at.g, d);
        step =
            search(at, d, slope, similar_step(step, slope_before, slope, objective.shares.reach()));
        if (step == 0) {
            return course.exhausted();
        }
        slope_before = slope;
        ended = course.ended(at);
    }
}

template void run_gd(Objective<double>&, Point<double>&, Course<double>&);
template void run_gd(Objective<float>&, Point<float>&, Course<float>&);

} // namespace mlpcore
