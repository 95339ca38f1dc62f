// The kernels for float, compiled apart from those for double, so that both compile at once.
#include "table.hpp"

namespace mlpcore::MLPCORE_ISA {
extern const Kernels<float> f32;
constexpr Kernels<float> f32 = table<float>();
} // namespace mlpcore::MLPCORE_ISA
