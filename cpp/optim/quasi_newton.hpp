// The loop of the quasi-Newton methods: steps along d = -H g, where H, an approximation of the
// inverse Hessian, is I until it learns from the steps s = v_{k+1} - v_k and the changes of the
// gradient y = g_{k+1} - g_k (Nocedal and Wright, Numerical Optimization, 2006, sections 6.1
// and 7.2).
#pragma once

#include "optim/course.hpp"
#include "optim/line_search.hpp"

namespace mlpcore {

template <class T, class Inverse>
void run_quasi_newton(Objective<T>& objective, Point<T>& at, Inverse& inverse, Course<T>& course) {
    LineSearch<T> search(objective, 0.9);
    std::vector<T> d(at.v.size()), s(d), y(d);
    bool ended = course.begun(at, [&](Archive& a) { inverse.visit(a); });
    while (!ended) {
        inverse.direction(at.g, d);
        const double slope = dot(at.g, d);
        const double first =
            inverse.is_identity() ? cautious_step(slope, objective.shares.reach()) : 1.0;
        if (!(slope < 0) || search(at, d, slope, first) == 0) {
            if (inverse.is_identity()) {
                return course.exhausted();
            }
            inverse.forget(); // the curvature may be stale: once more along the gradient
            continue;
        }
        const Point<T>& before = search.previous();
        s = at.v;
        y = at.g;
        axpy(-1, before.v, s);
        axpy(-1, before.g, y);
        inverse.remember(s.data(), y.data());
        ended = course.ended(at);
    }
}

} // namespace mlpcore
