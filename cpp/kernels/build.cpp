// One build of the kernels: its name, whether it runs here, and its two tables.
#include "mlpcore/kernels.hpp"

namespace mlpcore::MLPCORE_ISA {

extern const Kernels<double> f64;
extern const Kernels<float> f32;

namespace {
bool runs_here() {
#if defined(__x86_64__)
    __builtin_cpu_init();
    return MLPCORE_CPU_CHECK;
#else
    return true;
#endif
}
} // namespace

// `extern` gives the constant a name that dispatch.cpp can reach.
extern const InstructionSet build;
constexpr InstructionSet build{
    .name = MLPCORE_ISA_NAME, .runs_here = runs_here, .f64 = &f64, .f32 = &f32};

} // namespace mlpcore::MLPCORE_ISA
