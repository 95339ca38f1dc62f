// Made by coefficients.py; change that, not this.
// clang-format off
#pragma once

namespace mlpcore::coefficients {

// (e^r - 1 - r) / r^2, |r| <= ln(2)/2; constant term first.
// Largest relative error of the fit: 3.0e-18.
inline constexpr double exp_tail_double[] = {
    0x1.0000000000000p-1,
    0x1.5555555555557p-3,
    0x1.5555555555556p-5,
    0x1.11111111100dcp-7,
    0x1.6c16c16c162d4p-10,
    0x1.a01a01abe7fe1p-13,
    0x1.a01a01a6d889cp-16,
    0x1.71de0231960ebp-19,
    0x1.27e4db646b17ep-22,
    0x1.af4de97ca4194p-26,
    0x1.1f730349868cep-29,
};
// Largest relative error of the fit: 2.9e-09.
inline constexpr float exp_tail_float[] = {
    0.500000001347F,
    0.166666666816F,
    0.0416664649253F,
    0.00833331092548F,
    0.00139336499963F,
    0.000198909908247F,
};

// (2 atanh(s)/s - 2) / s^2 in s^2; constant term first.
// Largest relative error of the fit: 3.1e-18.
inline constexpr double log_tail_double[] = {
    0x1.5555555555555p-1,
    0x1.9999999999a38p-2,
    0x1.2492492476c87p-2,
    0x1.c71c720160b47p-3,
    0x1.745cf901605f7p-3,
    0x1.3b1c360763b8ap-3,
    0x1.0fbe83c2cbcf3p-3,
    0x1.0c04595972ab8p-3,
};
// Largest relative error of the fit: 1.7e-09.
inline constexpr float log_tail_float[] = {
    0.666666665545F,
    0.40000121877F,
    0.285508165997F,
    0.233305819382F,
};

// (1 + 2t) e^(t^2) erfc(t) in (t - 4)/(t + 4); constant term first.
// Largest relative error of the fit: 1.6e-18.
inline constexpr double erfcx_double[] = {
    0x1.3ba5916e9fd7fp+0,
    -0x1.1df1ad154a28ep-3,
    0x1.f7f5df66fd6bap-7,
    0x1.16ecefcfa5383p-4,
    -0x1.9ddb23c3e89f3p-4,
    0x1.7fee004e1295bp-4,
    -0x1.0fb06dfe52605p-4,
    0x1.3079edf67777bp-5,
    -0x1.096238838fb04p-6,
    0x1.49c6728a1a0f0p-8,
    -0x1.8d4a9b0690e08p-11,
    -0x1.a1df289a58f28p-13,
    0x1.3be04c486a75ep-13,
    -0x1.9958e21c32f5cp-16,
    -0x1.78862b6b1e3abp-17,
    0x1.7f2545048fbf3p-18,
    0x1.398374178fe8bp-22,
    -0x1.baf5e74545cc3p-21,
    0x1.4cb0ece366243p-24,
    0x1.d98825ca9debbp-24,
    -0x1.611fc8f45b521p-26,
    -0x1.fcc3a52686561p-27,
    0x1.b34e17ed4ffd8p-29,
    0x1.f5d7df6dfdb01p-30,
    -0x1.24000f0a15f3bp-32,
    -0x1.3ab58f87cfba7p-33,
};
// Largest relative error of the fit: 3.6e-09.
inline constexpr float erfcx_float[] = {
    1.23299511863F,
    -0.139621084315F,
    0.0153796836533F,
    0.0680961320542F,
    -0.101039950848F,
    0.0937404437928F,
    -0.0663232595359F,
    0.0371399168957F,
    -0.0162222745564F,
    0.00508280915434F,
    -0.000716339471889F,
    -0.000248632297448F,
    0.000116607996582F,
};

} // namespace mlpcore::coefficients
