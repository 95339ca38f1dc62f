// Chooses one build of the kernels when the library is loaded.
#include <cstdlib>
#include <stdexcept>
#include <string>

#include "mlpcore/kernels.hpp"

namespace mlpcore {

// MLPCORE_BUILDS is the list X(isa) X(isa) ..., from the narrowest to the widest, that
// CMakeLists.txt compiled.
#define MLPCORE_DECLARE(isa)                                                                       \
    namespace isa {                                                                                \
    extern const InstructionSet build;                                                             \
    }
#define X(isa) MLPCORE_DECLARE(isa)
MLPCORE_BUILDS
#undef X

const std::vector<const InstructionSet*>& available_instruction_sets() {
    static const std::vector<const InstructionSet*> available = [] {
        std::vector<const InstructionSet*> found;
#define X(isa) &isa::build,
        for (const InstructionSet* candidate : {MLPCORE_BUILDS}) {
#undef X
            if (candidate->runs_here()) {
                found.push_back(candidate);
            }
        }
        return found;
    }();
    return available;
}

const InstructionSet& instruction_set() {
    static const InstructionSet& chosen = []() -> const InstructionSet& {
        const auto& available = available_instruction_sets();
        if (available.empty()) {
            throw std::runtime_error("mlpcore was built for instruction sets of which this machine "
                                     "has none; build it without MLPCORE_ISAS");
        }
        const char* const wanted = std::getenv("MLPCORE_ISA");
        if (wanted == nullptr || *wanted == '\0') {
            return *available.back();
        }
        std::string names;
        for (const InstructionSet* candidate : available) {
            if (candidate->name == wanted) {
                return *candidate;
            }
            names += (names.empty() ? "" : ", ") + std::string(candidate->name);
        }
        throw std::runtime_error("the environment variable MLPCORE_ISA is '" + std::string(wanted) +
                                 "', expected one that this machine can run: " + names);
    }();
    return chosen;
}

template <> const Kernels<double>& kernels<double>() {
    static const Kernels<double>& table = *instruction_set().f64;
    return table;
}
template <> const Kernels<float>& kernels<float>() {
    static const Kernels<float>& table = *instruction_set().f32;
    return table;
}

} // namespace mlpcore
