// The Cholesky factor of a symmetric positive definite matrix, A = U^T U, and what it is for.
#pragma once

#include <memory>
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
    void solve(T* b);

  private:
    index n_, stride_;
    std::unique_ptr<T[]> u_; // (stride, stride), of which the upper triangle is U
    std::vector<T> inverse_; // of the diagonal
    std::vector<T> b_;
};

} // namespace mlpcore
