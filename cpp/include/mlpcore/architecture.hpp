// What a network is: its layers, and where their weights stand in the flat vector w.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>
#include <vector>

#include "mlpcore/activation.hpp"

namespace mlpcore {

using index = std::ptrdiff_t;

// The output units, each with its canonical error function (PRML 5.11, 5.21, 5.24).
enum class Output { linear, sigmoid, softmax };
inline constexpr std::array output_names{std::string_view{"linear"}, std::string_view{"sigmoid"},
                                         std::string_view{"softmax"}};

// z = W a_below + b, a = h(z). W is row-major (n_out, n_in).
struct Layer {
    index n_in, n_out;
    index weights, biases; // offsets of W and b in w
    index row;             // the layer's first row among all activations of a tile, inputs first
    Activation h;          // unused in the output layer
};

// A view without ownership: what the kernels see.
struct NetworkView {
    const Layer* layers;
    index depth; // layers with weights
    Output output;
    index n_inputs, n_outputs, n_weights;
    index n_units; // inputs, hidden units and outputs
    index widest;  // the most units in any one layer, inputs included
};

class Architecture {
  public:
    // `sizes` is (D, M1, ..., K), `hidden` has an activation for each hidden layer. Throws
    // std::invalid_argument, in words for the user, for what can't be a network.
    Architecture(const std::vector<index>& sizes, const std::vector<Activation>& hidden,
                 Output output);

    NetworkView view() const {
        return {.layers = layers_.data(),
                .depth = static_cast<index>(layers_.size()),
                .output = output_,
                .n_inputs = layers_.front().n_in,
                .n_outputs = layers_.back().n_out,
                .n_weights = n_weights_,
                .n_units = n_units_,
                .widest = widest_};
    }

  private:
    std::vector<Layer> layers_;
    Output output_;
    index n_weights_ = 0, n_units_ = 0, widest_ = 0;
};

} // namespace mlpcore
