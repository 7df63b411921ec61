#include "runtime/lapack.h"

#include <atomic>

namespace tegula {
namespace {

struct Tables {
  Lapack<float> s;
  Lapack<double> d;
  Lapack<complex64> c;
  Lapack<complex128> z;

  template <class F>
  void each(F&& visit) {
    s.each([&](const char* name, auto& function) { visit(std::string("s") + name, function); });
    d.each([&](const char* name, auto& function) { visit(std::string("d") + name, function); });
    c.each([&](const char* name, auto& function) { visit(std::string("c") + name, function); });
    z.each([&](const char* name, auto& function) { visit(std::string("z") + name, function); });
  }
};

Tables tables;
std::atomic<bool> filled{false};

}  // namespace

template <>
const Lapack<float>& lapack<float>() {
  return tables.s;
}
template <>
const Lapack<double>& lapack<double>() {
  return tables.d;
}

template <>
const Lapack<complex64>& lapack<complex64>() {
  return tables.c;
}
template <>
const Lapack<complex128>& lapack<complex128>() {
  return tables.z;
}

std::vector<std::string> lapack_names() {
  std::vector<std::string> names;
  Tables().each([&](const std::string& name, auto&) { names.push_back(name); });
  return names;
}

void set_lapack(const std::function<void*(const std::string&)>& find) {
  if (filled) return;
  Tables found;
  found.each([&](const std::string& name, auto& function) {
    void* address = find(name);
    if (!address) fail(ErrorKind::missing, "linalg: the LAPACK found has no function ", name);
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(address);
  });
  tables = found;
  filled = true;
}

void require_lapack(const char* op) {
  if (!filled)
    fail(ErrorKind::missing, op,
         ": needs LAPACK; install it with `pip install 'tegula[linalg]'` "
         "(scipy-openblas32), or install SciPy, and start anew");
}

}  // namespace tegula
