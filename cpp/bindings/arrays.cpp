#include "arrays.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <span>
#include <sstream>

#include "memory.hpp"
#include "mlpcore/parallel.hpp"

namespace mlpcore::bindings {

std::string shape_of(const py::array& a) {
    std::string s = "(";
    for (py::ssize_t i = 0; i < a.ndim(); ++i) {
        s += (i == 0 ? "" : ", ") + std::to_string(a.shape(i));
    }
    return s + (a.ndim() == 1 ? ",)" : ")");
}

namespace {

// Below this many bytes nobody is asked what is available.
constexpr double worth_asking = 64.0 * 1024 * 1024;

std::string gibibytes(double bytes) {
    std::ostringstream s;
    s.precision(3);
    s << bytes / (1024.0 * 1024.0 * 1024.0) << " GiB";
    return s.str();
}

std::string number(double x) { return py::str(py::float_(x)); }

// As in name[3, 1]; the name alone where there are no axes.
std::string element(const char* name, const py::array& a, index i) {
    std::string place;
    for (py::ssize_t axis = a.ndim() - 1; axis >= 0; --axis) {
        place.insert(0, std::to_string(i % a.shape(axis)) + (place.empty() ? "" : ", "));
        i /= a.shape(axis);
    }
    return a.ndim() == 0 ? name : std::string(name) + "[" + place + "]";
}

bool has_shape(const py::array& a, std::span<const index> shape) {
    return static_cast<std::size_t>(a.ndim()) == shape.size() &&
           std::equal(shape.begin(), shape.end(), a.shape());
}

// A shape in words, for an ensemble with the other that it may have.
std::string expected_shape(const std::vector<index>& shape, index networks) {
    const auto words = [](const std::vector<index>& dimensions) {
        std::string s = "(";
        for (std::size_t i = 0; i < dimensions.size(); ++i) {
            s += (i == 0 ? "" : ", ") + (dimensions[i] < 0 ? "N" : std::to_string(dimensions[i]));
        }
        return s + (dimensions.size() == 1 ? ",)" : ")");
    };
    if (networks == 0) {
        return words(shape);
    }
    std::vector<index> own = shape;
    own.insert(own.begin(), networks);
    return words(shape) + " or " + words(own);
}

[[noreturn]] void bad_shape(const char* name, const py::array& a, const std::string& expected) {
    throw py::value_error(std::string(name) + " has shape " + shape_of(a) + ", expected " +
                          expected);
}

// A long array is read by all threads: one alone took a twentieth of the time of a gradient.
template <class T> index first_nonfinite(index n, const T* x) {
    constexpr index piece = 1 << 14;
    if (n <= 2 * piece) {
        return kernels<T>().first_nonfinite(n, x);
    }
    std::atomic<index> first{n};
    parallel_for((n + piece - 1) / piece, max_threads(), nullptr, [&](index i) {
        const index from = i * piece, size = std::min(piece, n - from);
        const index at = kernels<T>().first_nonfinite(size, x + from);
        index lowest = first.load();
        while (at < size && from + at < lowest && !first.compare_exchange_weak(lowest, from + at)) {
        }
    });
    return first.load();
}

template <class T> void check_finite(const char* name, const py::array_t<T>& a) {
    const index bad = first_nonfinite(static_cast<index>(a.size()), a.data());
    if (bad < a.size()) {
        throw py::value_error(std::string(name) + " is not finite: " + element(name, a, bad) +
                              " is " + number(static_cast<double>(a.data()[bad])));
    }
}

constexpr int aligned = 0x0100; // NPY_ARRAY_ALIGNED
bool is_aligned(const py::array& a) { return (a.flags() & aligned) != 0; }

// Nearly every array of a type shares one dtype object; others may be equal to it, which implies
// native byte order.
template <class T> bool has_type(const py::array& a) {
    return a.dtype().is(py::dtype::of<T>()) || py::array_t<T>::check_(a);
}

template <class T> bool is_ready(py::handle object) {
    const auto* const ndarray = py::detail::npy_api::get().PyArray_Type_;
    // Exactly an ndarray: a subclass may mean its numbers differently.
    if (Py_TYPE(object.ptr()) != ndarray) {
        return false;
    }
    const auto a = py::reinterpret_borrow<py::array>(object);
    constexpr int wanted = py::array::c_style | aligned;
    return (a.flags() & wanted) == wanted && has_type<T>(a);
}

bool is_real(char kind) { return std::string("biuf").find(kind) != std::string::npos; }

// A pandas table whose columns are all numbers, but of several types or of pandas' own.
bool holds_numbers(py::handle object) {
    if (!py::hasattr(object, "to_numpy") || !py::hasattr(object, "dtypes")) {
        return false;
    }
    for (const py::handle dtype : py::iter(object.attr("dtypes"))) {
        const auto kind = py::getattr(dtype, "kind", py::none());
        if (!py::isinstance<py::str>(kind) || !is_real(std::string(py::str(kind))[0])) {
            return false;
        }
    }
    return true;
}

bool is_masked(py::handle object) {
    return py::isinstance(object, py::module_::import("numpy").attr("ma").attr("MaskedArray"));
}

// An array of real numbers, of any type and layout, aligned.
py::array as_real(const char* name, py::handle object) {
    const py::module_ numpy = py::module_::import("numpy");
    if (is_masked(object)) {
        throw py::type_error(std::string(name) +
                             " is a masked array, expected one without masked values");
    }
    py::array a;
    try {
        a = numpy.attr("asarray")(object);
    } catch (py::error_already_set& e) {
        if (!e.matches(PyExc_ValueError) && !e.matches(PyExc_TypeError)) {
            throw;
        }
        throw py::value_error(std::string(name) +
                              " is not an array of numbers: " + std::string(py::str(e.value())));
    }
    if (a.dtype().kind() == 'O' && holds_numbers(object)) {
        a = object.attr("to_numpy")("float64");
    }
    if (!is_real(a.dtype().kind())) {
        throw py::type_error(std::string(name) + " has dtype " + std::string(py::str(a.dtype())) +
                             ", expected real numbers");
    }
    return is_aligned(a) ? a : py::array(a.attr("copy")());
}

// The addresses from the first byte to behind the last, whatever the strides.
struct Extent {
    std::uintptr_t begin, end;
};

Extent extent_of(const py::array& a) {
    const auto first = reinterpret_cast<std::uintptr_t>(a.data());
    if (a.size() == 0) {
        return {.begin = first, .end = first};
    }
    Extent e{.begin = first, .end = first + static_cast<std::uintptr_t>(a.itemsize())};
    for (py::ssize_t i = 0; i < a.ndim(); ++i) {
        const py::ssize_t reach = (a.shape(i) - 1) * a.strides(i);
        (reach < 0 ? e.begin : e.end) += static_cast<std::uintptr_t>(reach);
    }
    return e;
}

// What an argument's numbers lie in: an array, or what wraps one (a table, a buffer).
bool shares_memory(const py::array& out, py::handle argument) {
    if (argument.is_none() || py::isinstance<py::list>(argument) ||
        py::isinstance<py::tuple>(argument)) {
        return false;
    }
    const auto numpy = [](const char* name) { return py::module_::import("numpy").attr(name); };
    const auto a = py::isinstance<py::array>(argument) ? py::reinterpret_borrow<py::array>(argument)
                                                       : py::array(numpy("asarray")(argument));
    const Extent mine = extent_of(out), its = extent_of(a);
    if (mine.begin == mine.end || its.begin == its.end || mine.end <= its.begin ||
        its.end <= mine.begin) {
        return false;
    }
    // With gaps between its numbers, `out` may lie in one of them.
    return (a.flags() & py::array::c_style) != 0 || numpy("shares_memory")(out, a).cast<bool>();
}

// The targets are probabilities.
template <class T>
void check_probabilities(const char* name, const py::array_t<T>& t, index k, bool rows_sum_to_one) {
    const T* const p = t.data();
    for (index i = 0; i < t.size(); ++i) {
        if (!(p[i] >= 0 && p[i] <= 1)) {
            throw py::value_error(element(name, t, i) + " is " + number(static_cast<double>(p[i])) +
                                  ", expected a value in [0, 1]");
        }
    }
    const double tolerance = sizeof(T) == 8 ? 1e-6 : 1e-4;
    for (index s = 0; rows_sum_to_one && s < t.size() / k; ++s) {
        double sum = 0;
        for (index i = 0; i < k; ++i) {
            sum += static_cast<double>(p[s * k + i]);
        }
        if (std::abs(sum - 1) > tolerance) {
            throw py::value_error(std::string(name) + "[" + std::to_string(s) + "] sums to " +
                                  number(sum) + ", expected 1");
        }
    }
}

template <class T> py::array_t<T> contiguous(const char* name, const py::array& a) {
    check_memory(std::string(name) + " as a contiguous array",
                 static_cast<double>(a.size()) * static_cast<double>(sizeof(T)));
    return py::array_t<T, py::array::c_style | py::array::forcecast>(py::object(a));
}

// The numbers as T, by way of From, which holds their range. ValueError for a finite one that is
// too large for T.
template <class T, class From> py::array_t<T> by_way_of(const char* name, const py::array& a) {
    py::array_t<From> given = contiguous<From>(name, a);
    if constexpr (std::is_same_v<T, From>) {
        return given;
    } else {
        const std::vector<py::ssize_t> shape(given.shape(), given.shape() + given.ndim());
        check_memory(name, static_cast<double>(given.size()) * static_cast<double>(sizeof(T)));
        py::array_t<T> result(shape);
        for (index i = 0; i < given.size(); ++i) {
            const From value = given.data()[i];
            if constexpr (sizeof(From) > sizeof(T)) {
                if (std::abs(value) > From(std::numeric_limits<T>::max()) && std::isfinite(value)) {
                    throw py::value_error(element(name, given, i) + " is " +
                                          std::string(py::str(given.attr("flat")[py::int_(i)])) +
                                          ", which is too large for " +
                                          std::string(py::str(py::dtype::of<T>())));
                }
            }
            result.mutable_data()[i] = static_cast<T>(value);
        }
        return result;
    }
}

py::array_t<std::int64_t> as_labels(const char* name, const py::array& a, index classes) {
    const auto reject = [&](index i, double value) {
        throw py::value_error(element(name, a, i) + " is " + number(value) +
                              ", expected a class label from 0 to " + std::to_string(classes - 1));
    };
    const auto count = static_cast<double>(classes);
    if (a.dtype().kind() == 'f' || a.dtype().kind() == 'u') {
        const auto values = as_array<double>(name, a);
        py::array_t<std::int64_t> labels(values.size());
        for (index i = 0; i < values.size(); ++i) {
            const double value = values.data()[i];
            if (!(value >= 0 && value < count && value == std::floor(value))) {
                reject(i, value);
            }
            labels.mutable_data()[i] = static_cast<std::int64_t>(value);
        }
        return labels;
    }
    const py::array_t<std::int64_t> given = contiguous<std::int64_t>(name, a);
    // A copy of our own: the kernels write where a label says, and the caller's array may change
    // meanwhile.
    py::array_t<std::int64_t> labels(given.size());
    for (index i = 0; i < labels.size(); ++i) {
        const std::int64_t label = given.data()[i];
        labels.mutable_data()[i] = label;
        if (label < 0 || label >= classes) {
            throw py::value_error(element(name, a, i) + " is " + std::to_string(label) +
                                  ", expected a class label from 0 to " +
                                  std::to_string(classes - 1));
        }
    }
    return labels;
}

} // namespace

void check_memory(const std::string& what, double bytes) {
    if (bytes <= worth_asking) {
        return;
    }
    if (const double available = available_memory(); bytes > available) {
        PyErr_SetString(PyExc_MemoryError,
                        (what + " would take " + gibibytes(bytes) + ", more than the " +
                         gibibytes(available) + " of memory available")
                            .c_str());
        throw py::error_already_set();
    }
}

void check_working_memory(const char* quantity, double bytes) {
    if (bytes > worth_asking) { // else no words are needed
        check_memory(std::string("the working memory of ") + quantity, bytes);
    }
}

template <class T> py::array_t<T> as_array(const char* name, py::handle object) {
    if (is_ready<T>(object)) {
        return py::reinterpret_borrow<py::array_t<T>>(object);
    }
    const py::array real = as_real(name, object);
    if (is_ready<T>(real)) { // a view of something else: numpy.memmap, a table of one type
        return py::reinterpret_borrow<py::array_t<T>>(real);
    }
    // NumPy casts what nothing can go wrong with. It would warn, or raise as its errstate says, of
    // a long double that is too large or of a signaling NaN.
    if (real.dtype().kind() == 'f' && real.itemsize() == sizeof(float)) {
        return by_way_of<T, float>(name, real);
    }
    if (real.dtype().kind() == 'f' && real.itemsize() > static_cast<py::ssize_t>(sizeof(double))) {
        return by_way_of<T, long double>(name, real);
    }
    return by_way_of<T, double>(name, real);
}

template <class T> Weights<T> as_weights(const Network& net, py::handle w) {
    Weights<T> weights{.array = as_array<T>("w", w)};
    const py::array_t<T>& a = weights.array;
    const index n = net.architecture.view().n_weights;
    if (a.ndim() < 1 || a.ndim() > 2 || a.shape(a.ndim() - 1) != n) {
        bad_shape("w", a,
                  "(" + std::to_string(n) + ",) or, for S networks, (S, " + std::to_string(n) +
                      ")");
    }
    weights.is_ensemble = a.ndim() == 2;
    weights.networks = weights.is_ensemble ? a.shape(0) : 1;
    check_finite("w", a);
    return weights;
}

template <class T>
Samples<T> as_inputs(const Network& net, const Weights<T>& w, py::handle x,
                     const SampleNames& names) {
    Samples<T> samples;
    const py::array_t<T> a = as_array<T>(names.x, x);
    samples.x = a;
    const index d = net.architecture.view().n_inputs;
    const bool own = w.is_ensemble && a.ndim() == 3;
    if (!(own || a.ndim() == 2) || a.shape(a.ndim() - 1) != d ||
        (own && a.shape(0) != w.networks)) {
        bad_shape(names.x, a, expected_shape({-1, d}, w.is_ensemble ? w.networks : 0));
    }
    check_finite(names.x, a);
    samples.batch.n = a.shape(a.ndim() - 2);
    samples.batch.x = a.data();
    samples.steps.x = own ? samples.batch.n * d : 0;
    return samples;
}

template <class T>
Samples<T> as_samples(const Network& net, const Weights<T>& w, py::handle x, py::handle t,
                      py::handle sample_weight, const SampleNames& names) {
    Samples<T> samples = as_inputs<T>(net, w, x, names);
    const NetworkView view = net.architecture.view();
    const index n = samples.batch.n, k = view.n_outputs, networks = w.is_ensemble ? w.networks : 0;
    // The same for all networks, or with an own part for each.
    const auto shared = [&](const py::array& a, std::initializer_list<index> shape) {
        return has_shape(a, {shape.begin(), shape.size()});
    };
    const auto own = [&](const py::array& a, std::initializer_list<index> shape) {
        return w.is_ensemble && a.ndim() == static_cast<index>(shape.size()) + 1 &&
               a.shape(0) == networks && std::equal(shape.begin(), shape.end(), a.shape() + 1);
    };

    const bool softmax = view.output == Output::softmax;
    const py::array given =
        is_ready<T>(t) ? py::reinterpret_borrow<py::array>(t) : as_real(names.t, t);
    if (softmax && shared(given, {n, k}) && own(given, {n}) && given.dtype().kind() != 'f') {
        throw py::value_error(std::string(names.t) + " has shape " + shape_of(given) +
                              " and whole numbers, which may be the targets (N, K) of all networks "
                              "or the class labels (S, N) of each, expected the targets as floats, "
                              "or (S, N, K) targets");
    }
    if (shared(given, {n, k}) || own(given, {n, k}) ||
        (k == 1 && (shared(given, {n}) || own(given, {n})))) {
        const py::array_t<T> targets = as_array<T>(names.t, given);
        check_finite(names.t, targets);
        if (view.output != Output::linear) {
            check_probabilities(names.t, targets, k, softmax);
        }
        samples.t = targets;
        samples.batch.t = targets.data();
        samples.steps.t = shared(given, {n, k}) || shared(given, {n}) ? 0 : n * k;
    } else if (softmax && (shared(given, {n}) || own(given, {n}))) {
        const auto labels = as_labels(names.t, given, k);
        samples.labels = labels;
        samples.batch.labels = labels.data();
        samples.steps.labels = shared(given, {n}) ? 0 : n;
    } else {
        std::string expected = expected_shape({n, k}, networks);
        if (k == 1 || softmax) {
            expected += softmax ? " or class labels " : " or ";
            expected += expected_shape({n}, networks);
        }
        bad_shape(names.t, given, expected);
    }

    if (!sample_weight.is_none()) {
        const py::array_t<T> weight = as_array<T>(names.sample_weight, sample_weight);
        samples.sample_weight = weight;
        if (!shared(weight, {n}) && !own(weight, {n})) {
            bad_shape(names.sample_weight, weight, expected_shape({n}, networks));
        }
        check_finite(names.sample_weight, weight);
        for (index i = 0; i < weight.size(); ++i) {
            if (weight.data()[i] < 0) {
                throw py::value_error(element(names.sample_weight, weight, i) + " is " +
                                      number(static_cast<double>(weight.data()[i])) +
                                      ", expected a weight of at least 0");
            }
        }
        samples.batch.sample_weight = weight.data();
        samples.steps.sample_weight = shared(weight, {n}) ? 0 : n;
    }
    return samples;
}

template <class T>
Extra<T> as_extra(const char* name, const Weights<T>& w, py::handle object,
                  const std::vector<index>& shape) {
    Extra<T> extra{.array = as_array<T>(name, object)};
    std::vector<index> own = shape;
    own.insert(own.begin(), w.networks);
    if (w.is_ensemble && has_shape(extra.array, own)) {
        extra.step = w.networks > 0 ? extra.array.size() / w.networks : 0;
    } else if (!has_shape(extra.array, shape)) {
        bad_shape(name, extra.array, expected_shape(shape, w.is_ensemble ? w.networks : 0));
    }
    check_finite(name, extra.array);
    return extra;
}

template <class T>
Directions<T> as_directions(const Network& net, const Weights<T>& w, py::handle v) {
    Directions<T> directions{.array = as_array<T>("v", v)};
    const py::array_t<T>& a = directions.array;
    const index n = net.architecture.view().n_weights, front = w.is_ensemble ? 1 : 0;
    directions.is_block = a.ndim() == front + 2;
    if (!(directions.is_block || a.ndim() == front + 1) || a.shape(a.ndim() - 1) != n ||
        (w.is_ensemble && a.shape(0) != w.networks)) {
        const std::string s = w.is_ensemble ? std::to_string(w.networks) + ", " : "";
        const std::string width = std::to_string(n);
        bad_shape("v", a,
                  "(" + s + width + (w.is_ensemble ? ")" : ",)") + " or, for m vectors, (" + s +
                      "m, " + width + ")");
    }
    directions.count = directions.is_block ? a.shape(front) : 1;
    check_finite("v", a);
    return directions;
}

template <class T>
py::array_t<T> new_array(const char* what, const Weights<T>& w, std::vector<py::ssize_t> shape) {
    if (w.is_ensemble) {
        shape.insert(shape.begin(), w.networks);
    }
    double bytes = sizeof(T);
    for (const py::ssize_t n : shape) {
        bytes *= static_cast<double>(n);
    }
    if (bytes > worth_asking) {
        check_memory(std::string(what) + " of shape " +
                         expected_shape({shape.begin(), shape.end()}, 0),
                     bytes);
    }
    return py::array_t<T>(std::move(shape));
}

template <class T>
py::array_t<T> as_out(const Weights<T>& w, std::vector<py::ssize_t> shape, py::handle out,
                      std::initializer_list<Argument> arguments) {
    if (!py::isinstance<py::array>(out)) {
        throw py::type_error("out is of type " + std::string(Py_TYPE(out.ptr())->tp_name) +
                             ", expected a NumPy array");
    }
    // Other subclasses, such as numpy.memmap, are their memory.
    if (Py_TYPE(out.ptr()) != py::detail::npy_api::get().PyArray_Type_ && is_masked(out)) {
        throw py::type_error("out is a masked array, expected one without a mask");
    }
    const auto a = py::reinterpret_borrow<py::array>(out);
    if (!has_type<T>(a)) {
        throw py::type_error("out has dtype " + std::string(py::str(a.dtype())) + ", expected " +
                             std::string(py::str(py::dtype::of<T>())));
    }
    if (w.is_ensemble) {
        shape.insert(shape.begin(), w.networks);
    }
    if (!has_shape(a, shape)) {
        bad_shape("out", a, expected_shape({shape.begin(), shape.end()}, 0));
    }
    const auto require = [](bool is_so, const std::string& property) {
        if (!is_so) {
            throw py::value_error("out is not " + property +
                                  ", expected a C-contiguous, aligned and writeable array");
        }
    };
    require((a.flags() & py::array::c_style) != 0, "C-contiguous");
    require(is_aligned(a), "aligned");
    require(a.writeable(), "writeable");
    for (const Argument& argument : arguments) {
        if (shares_memory(a, argument.object)) {
            throw py::value_error("out shares memory with " + std::string(argument.name) +
                                  ", expected an array of its own");
        }
    }
    return py::reinterpret_borrow<py::array_t<T>>(out);
}

#define MLPCORE_INSTANTIATE(T)                                                                     \
    template py::array_t<T> as_array<T>(const char*, py::handle);                                  \
    template Weights<T> as_weights<T>(const Network&, py::handle);                                 \
    template Samples<T> as_inputs<T>(const Network&, const Weights<T>&, py::handle,                \
                                     const SampleNames&);                                          \
    template Samples<T> as_samples<T>(const Network&, const Weights<T>&, py::handle, py::handle,   \
                                      py::handle, const SampleNames&);                             \
    template Extra<T> as_extra<T>(const char*, const Weights<T>&, py::handle,                      \
                                  const std::vector<index>&);                                      \
    template Directions<T> as_directions<T>(const Network&, const Weights<T>&, py::handle);        \
    template py::array_t<T> new_array<T>(const char*, const Weights<T>&,                           \
                                         std::vector<py::ssize_t>);                                \
    template py::array_t<T> as_out<T>(const Weights<T>&, std::vector<py::ssize_t>, py::handle,     \
                                      std::initializer_list<Argument>);
MLPCORE_INSTANTIATE(double)
MLPCORE_INSTANTIATE(float)
#undef MLPCORE_INSTANTIATE

} // namespace mlpcore::bindings
