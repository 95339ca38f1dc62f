// The samples that count: those without weight add nothing to a sum over the samples, and must not
// even where they would overflow, for 0 times infinity is not 0.
#pragma once

#include <vector>

#include "mlpcore/kernels.hpp"

namespace mlpcore {

template <class T> class Counted {
  public:
    explicit Counted(const Batch<T>& data) : batch(data) {
        if (data.sample_weight == nullptr) {
            return;
        }
        const auto row = [&](index s) { return data.rows ? data.rows[s] : s; };
        index absent = 0;
        for (index s = 0; s < data.n; ++s) {
            absent += data.sample_weight[row(s)] == 0 ? 1 : 0;
        }
        if (absent == 0) {
            return;
        }
        for (index s = 0; s < data.n; ++s) {
            if (data.sample_weight[row(s)] != 0) {
                rows_.push_back(row(s));
            }
        }
        batch.rows = rows_.data();
        batch.n = static_cast<index>(rows_.size()); // whatever the weights are by now
    }
    Counted(const Counted&) = delete;
    Counted& operator=(const Counted&) = delete;

    Batch<T> batch;

  private:
    std::vector<index> rows_;
};

} // namespace mlpcore
