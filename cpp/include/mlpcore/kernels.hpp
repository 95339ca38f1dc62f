// The border between the core and the kernels: what a kernel is given, and the table of function
// pointers that each instruction set fills. A kernel works on one tile of samples.
#pragma once

#include <cstdint>
#include <vector>

#include "mlpcore/architecture.hpp"

namespace mlpcore {

// The samples of one tile, borrowed. Sample s is row rows[s] of the arrays, or row s where rows
// is null; t (dense targets) and labels (classes) exclude each other; both are null where only
// inputs are needed; a null sample_weight means 1.
template <class T> struct Batch {
    index n;
    const T* x;
    const T* t;
    const std::int64_t* labels;
    const T* sample_weight;
    const index* rows;
};

// Where a sum over the samples grows, part by part. The first part is stored and needs no zeros
// there: before it has `begun`, the numbers may be anything.
template <class T> struct Sum {
    T* numbers;
    bool begun;
    Sum from(index i) const { return {numbers + i, begun}; }
    Sum after(index parts) const { return {numbers, begun || parts > 0}; }
};

enum class Quantity {
    forward,
    error,
    gradient,
    jacobian,
    weight_jacobian,
    per_sample_gradient,
    hessian_diagonal,
    hessian,
    hessian_vector_product,
    hessian_vector_products, // directions_at_once of them
    output_hessian,
    jvp,
    vjp,
    weight_jvp,
    weight_vjp,
};

// Some of the units of a layer, and some of the inputs of each: a block of its weights.
struct WeightBlock {
    index layer;
    index first_unit, end_unit;
    index first_input, end_input;
};

enum class Curvature { exact, gauss_newton, becker_lecun };
inline constexpr std::array curvature_names{
    std::string_view{"exact"}, std::string_view{"gauss_newton"}, std::string_view{"becker_lecun"}};

enum class HessianKind { exact, gauss_newton, empirical_fisher };
inline constexpr std::array hessian_names{std::string_view{"exact"},
                                          std::string_view{"gauss_newton"},
                                          std::string_view{"empirical_fisher"}};

// Which pairs of units have a row of numbers, one a sample: (j, q) is row j * n + q, where n is how
// many units q there are; `upper` leaves those with q < j unused. `diagonal` has the pairs (j, j)
// alone, as row j.
enum class Pairs { all, upper, diagonal };

// A part of the block of the Hessian that belongs to the weights of layers l <= m: some of the
// pairs of units, and some of the inputs i of layer l (n_in is the bias).
struct HessianPiece {
    index l, m;
    bool slopes; // the sum with B^{l,m}, or the one with delta^m and the slopes (hessian.hpp)
    Pairs pairs;
    index first_row, end_row;
    index first_input, end_input;
};
// What a vector is multiplied with.
enum class ProductKind { exact, gauss_newton };
inline constexpr std::array product_kind_names{std::string_view{"exact"},
                                               std::string_view{"gauss_newton"}};

// As many vectors are multiplied side by side over a tile, at the most.
inline constexpr index directions_at_once = 8;

// The state and the constants of Adam (Kingma and Ba, 2015).
template <class T> struct AdamStep {
    T learning_rate, beta1, beta2, epsilon, bias1, bias2;
};

// The last `count` of what was put one after the other into `capacity` places; the oldest is at
// `first`.
struct Ring {
    index capacity, first = 0, count = 0;
    // Where the i-th is, the oldest being the 0-th.
    index place(index i) const { return first + i < capacity ? first + i : first + i - capacity; }
};

// The pairs of L-BFGS, the last steps s_k and changes of the gradient y_k: rows of n numbers, then
// zeros, which begin `step` apart, a multiple of two vectors; with rho_k = 1 / s_k.y_k (Nocedal and
// Wright, 2006, 7.17), gamma_k = s_k.y_k / y_k.y_k (7.20) and room for the alpha_k of the
// recursion.
template <class T> struct StepPairs {
    index n, step;
    Ring ring;
    const T *s, *y;
    const double *rho, *gamma;
    double* alpha;
};

// Every pass takes its memory from `scratch`, of at least scratch_size(...) numbers, aligned to a
// cache line. Passes that sum over samples put their part into a sum, the others write rows.
template <class T> struct Kernels {
    index lanes;
    index (*scratch_size)(const NetworkView&, Quantity, index n);
    void (*forward)(const NetworkView&, const T* w, const Batch<T>&, bool logits, T* y, T* scratch);
    double (*error)(const NetworkView&, const T* w, const Batch<T>&, T* scratch);
    double (*gradient)(const NetworkView&, const T* w, const Batch<T>&, Sum<T> gradient,
                       T* scratch);
    // The same in two steps (backward.hpp): gradient_begin fills the state of a tile, of
    // scratch_size(gradient) numbers, and returns its error; gradient_put adds a block of the
    // gradient up over tiles of n samples, whose states begin `step` numbers apart.
    double (*gradient_begin)(const NetworkView&, const T* w, const Batch<T>&, T* state);
    void (*gradient_put)(const NetworkView&, const WeightBlock&, index n, index tiles, T* states,
                         index step, Sum<T> gradient, T* scratch);
    void (*jacobian)(const NetworkView&, const T* w, const Batch<T>&, T* jacobian, T* scratch);
    void (*weight_jacobian)(const NetworkView&, const T* w, const Batch<T>&, T* jacobian,
                            T* scratch);
    void (*per_sample_gradient)(const NetworkView&, const T* w, const Batch<T>&, T* gradients,
                                T* scratch);
    void (*hessian_diagonal)(const NetworkView&, const T* w, const Batch<T>&, Curvature,
                             Sum<T> diagonal, T* scratch);
    // v has m rows; their products are stacked layer by layer (kernels/rop.hpp).
    void (*hessian_vector_product)(const NetworkView&, const T* w, const T* v, index m,
                                   const Batch<T>&, ProductKind, Sum<T> product, T* scratch);
    void (*output_hessian)(const NetworkView&, const T* w, const Batch<T>&, T* hessian, T* scratch);
    void (*jvp)(const NetworkView&, const T* w, const Batch<T>&, const Batch<T>& dx, T* dy,
                T* scratch);
    void (*weight_jvp)(const NetworkView&, const T* w, const T* v, const Batch<T>&, T* dy,
                       T* scratch);
    // With dy in the place of the targets.
    void (*vjp)(const NetworkView&, const T* w, const Batch<T>&, T* dx, T* scratch);
    void (*weight_vjp)(const NetworkView&, const T* w, const Batch<T>&, Sum<T> sum, T* scratch);

    // The steps of the Hessian (hessian.hpp). A tile of samples has a state of
    // scratch_size(hessian) numbers, which begin fills and descend changes.
    void (*hessian_begin)(const NetworkView&, const T* w, const Batch<T>&, HessianKind, T* state);
    void (*hessian_descend)(const NetworkView&, const T* w, HessianKind, index l, index m, index n,
                            T* state);
    index (*hessian_piece_scratch)(const NetworkView&, const HessianPiece&, index n);
    void (*hessian_add)(const NetworkView&, const T* w, HessianKind, const HessianPiece&,
                        index tiles, const index* n, T* const* states, T* block, index step,
                        T* scratch);
    void (*mirror)(index n, index first, index end, T* a);

    // Vectors of n numbers.
    index (*first_nonfinite)(index n, const T* x); // n if there is none
    void (*accumulate)(index n, const T* x, T* sum);
    double (*dot)(index n, const T* x, const T* y);
    void (*axpy)(index n, T a, const T* x, T* y); // y += a x
    void (*momentum_step)(index n, T learning_rate, T momentum, const T* gradient, T* velocity,
                          T* w);
    void (*adam_step)(index n, const AdamStep<T>&, const T* gradient, T* mean, T* mean_square,
                      T* w);

    // d = g becomes -H g (two_loop.hpp).
    void (*two_loop)(const StepPairs<T>&, T* d);

    // The steps of a Cholesky factorization, and what follows (cholesky.hpp).
    index (*cholesky_panel)(index first, index end, T* a, index stride, T* inverse);
    void (*cholesky_update)(index first, index end, index i, index i_end, T* a, index stride);
    void (*cholesky_solve)(const T* u, index stride, const T* inverse, T* b);

    // An elementary function of kernels/elementary.hpp by its place in elementary_names.
    void (*elementary)(int function, index n, const T* x, T* y);

    // The ruler of the benchmark (kernels/ruler.hpp): rounds of ruler_width multiply-adds.
    index ruler_width;
    T (*ruler)(index rounds, T start);
};

inline constexpr std::array elementary_names{std::string_view{"exp_nonpositive"},
                                             std::string_view{"expm1_nonpositive"},
                                             std::string_view{"log1p_unit"},
                                             std::string_view{"log_positive"},
                                             std::string_view{"tanh"},
                                             std::string_view{"sigmoid"},
                                             std::string_view{"softplus"},
                                             std::string_view{"normal_density"},
                                             std::string_view{"normal_distribution"}};

// One build of the kernels.
struct InstructionSet {
    std::string_view name;
    bool (*runs_here)();
    const Kernels<double>* f64;
    const Kernels<float>* f32;
};

// The builds that this machine can run, the best one last.
const std::vector<const InstructionSet*>& available_instruction_sets();

// The build in use: the best, or the one that the environment variable MLPCORE_ISA names. Throws
// std::runtime_error if that name is unknown or can't run here.
const InstructionSet& instruction_set();

template <class T> const Kernels<T>& kernels();

} // namespace mlpcore
