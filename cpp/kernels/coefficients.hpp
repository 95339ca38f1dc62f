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

// (r/tanh(r) - 1) / r^2 in r^2, |r| <= 3/8 ln(2); constant term first.
// Largest relative error of the fit: 3.0e-17.
inline constexpr double coth_tail_double[] = {
    0x1.5555555555555p-2,
    -0x1.6c16c16c1601bp-6,
    0x1.1566abbc06592p-9,
    -0x1.bbd7693af9952p-13,
    0x1.669aad859ce1bp-16,
    -0x1.1c9c73a144623p-19,
};
// Largest relative error of the fit: 6.1e-09.
inline constexpr float coth_tail_float[] = {
    0.333333331313F,
    -0.0222216838896F,
    0.00209511263391F,
};

// (1 + x) Phi(-x) e^(x^2/2) in (x - 4)/(x + 4), 0 <= x <= 40; constant term first.
// Largest relative error of the fit: 2.3e-18.
inline constexpr double normal_tail_double[] = {
    0x1.e361ea6fba141p-2,
    -0x1.8c18f2086e349p-4,
    0x1.cabd72a60f8f1p-7,
    0x1.d4969f10dfda7p-6,
    -0x1.07c3c2582bf28p-5,
    0x1.25dd720607305p-6,
    -0x1.47d5fc7472f69p-8,
    -0x1.2b7f5e22155d0p-12,
    0x1.6c538311f660cp-11,
    -0x1.8c11ab7da4d2ap-14,
    -0x1.707bb58d62bb9p-14,
    0x1.648345434fc8bp-16,
    0x1.c94012e7cd9e8p-17,
    -0x1.cc8b874f13a6ap-19,
    -0x1.5ec64b9097058p-19,
    0x1.affbc1f3d33e6p-22,
    0x1.28b8faf22f049p-21,
    0x1.58c98998f9958p-28,
    -0x1.dd95fcd996b07p-24,
    -0x1.952fffc1d395bp-26,
    0x1.2555093129e42p-26,
    0x1.217f13889df40p-27,
    -0x1.c86fca32b0924p-31,
    -0x1.74670a1694aa9p-30,
    -0x1.2038f5f7a8b27p-32,
};
// Largest relative error of the fit: 3.5e-09.
inline constexpr float normal_tail_float[] = {
    0.472053205924F,
    -0.0967034571623F,
    0.0139996860939F,
    0.0285997765614F,
    -0.0321986371784F,
    0.0179409145401F,
    -0.00499745182308F,
    -0.000302039195633F,
    0.000680277399939F,
    -6.87906852352e-5F,
    -6.65026307575e-5F,
    4.17522863508e-6F,
};

} // namespace mlpcore::coefficients
