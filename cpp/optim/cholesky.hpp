// The Cholesky factor of a symmetric positive definite matrix, A = U^T U, and what it is for.
#pragma once

#include <vector>

#include "mlpcore/interrupt.hpp"
#include "mlpcore/kernels.hpp"

namespace mlpcore {

template <class T> class Cholesky {
  public:
    explicit Cholesky(index n);

    // Factors A + diag(shift), A (n, n) symmetric, row by row. False if that is not positive
    // definite to the precision of T. The same bits for any number of threads.
    bool factor(const T* a, const T* shift, Interrupt* interrupt);

    // b becomes A^-1 b.
    void solve(T* b) const;

  private:
    const T* row(index i) const { return u_.data() + i * stride_; }

    index n_, stride_;
    std::vector<T> u_; // (n, stride), of which the upper triangle is U
};

} // namespace mlpcore
