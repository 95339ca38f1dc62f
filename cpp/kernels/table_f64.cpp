// The kernels for double, compiled apart from those for float, so that both compile at once.
#include "table.hpp"

namespace mlpcore::MLPCORE_ISA {
extern const Kernels<double> f64;
constexpr Kernels<double> f64 = table<double>();
} // namespace mlpcore::MLPCORE_ISA
