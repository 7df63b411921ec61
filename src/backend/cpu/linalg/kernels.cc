#include "backend/cpu/kernels.h"
#include "backend/cpu/linalg/linalg.h"

namespace tegula::cpu {

std::span<const KernelEntry> linalg_kernels() {
  static const KernelEntry kernels[] = {
      {"adjugate", {.run = run_adjugate}},
      {"cholesky", {.run = run_cholesky, .can_fail = true}},
      {"determinant", {.run = run_determinant}},
      {"eig", {.run = run_eig, .can_fail = true}},
      {"eigh", {.run = run_eigh, .can_fail = true}},
      {"eigvals", {.run = run_eig, .can_fail = true}},
      {"eigvalsh", {.run = run_eigh, .can_fail = true}},
      {"expm", {.run = run_expm}},
      {"inv", {.run = run_inverse, .can_fail = true}},
      {"lu", {.run = run_lu}},
      {"pinv", {.run = run_pinv, .can_fail = true}},
      {"pivot_order", {.run = run_pivot_order, .can_fail = true}},
      {"qr", {.run = run_qr}},
      {"solve", {.run = run_solve, .can_fail = true}},
      {"solve_triangular", {.run = run_solve_triangular, .can_fail = true}},
      {"svd", {.run = run_svd, .can_fail = true}},
      {"svdvals", {.run = run_svd, .can_fail = true}},
  };
  return kernels;
}

}  // namespace tegula::cpu
