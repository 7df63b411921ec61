// What the interpreter does with complex numbers: part of tile_interpreter.cc.
#pragma once

#include "base/complex_math.h"
#include "plan/tile.h"

namespace tegula {

inline std::complex<double> complex_function(TileOp op, std::complex<double> z) {
  switch (op) {
    case TileOp::sqrt:
      return std::sqrt(z);
    case TileOp::rsqrt:
      return std::complex<double>(complex128(1) / complex128(std::sqrt(z)));
    case TileOp::exp:
      return std::exp(z);
    case TileOp::exp2:
      return complex_exp2(z);
    case TileOp::expm1:
      return complex_expm1(z);
    case TileOp::log:
      return std::log(z);
    case TileOp::log1p:
      return complex_log1p(z);
    case TileOp::log2:
      return complex_log2(z);
    case TileOp::log10:
      return complex_log10(z);
    case TileOp::sin:
      return std::sin(z);
    case TileOp::cos:
      return std::cos(z);
    case TileOp::tan:
      return std::tan(z);
    case TileOp::asin:
      return std::asin(z);
    case TileOp::acos:
      return std::acos(z);
    case TileOp::atan:
      return std::atan(z);
    case TileOp::sinh:
      return std::sinh(z);
    case TileOp::cosh:
      return std::cosh(z);
    case TileOp::tanh:
      return std::tanh(z);
    case TileOp::asinh:
      return std::asinh(z);
    case TileOp::acosh:
      return std::acosh(z);
    case TileOp::atanh:
      return std::atanh(z);
    default:
      return complex_sigmoid(z);
  }
}

template <class C>
C complex_unary(TileOp op, C z) {
  switch (op) {
    case TileOp::negative:
      return -z;
    case TileOp::square:
      return z * z;
    case TileOp::reciprocal:
      return C(1) / z;
    case TileOp::conj:
      return C(z.re, -z.im);
    default:
      return C(complex_function(op, std::complex<double>(z)));
  }
}
template <class C>
C complex_binary(TileOp op, C a, C b) {
  switch (op) {
    case TileOp::add:
      return a + b;
    case TileOp::subtract:
      return a - b;
    case TileOp::multiply:
      return a * b;
    case TileOp::divide:
      return a / b;
    default:
      return C(complex_pow(std::complex<double>(a), std::complex<double>(b)));
  }
}

}  // namespace tegula
