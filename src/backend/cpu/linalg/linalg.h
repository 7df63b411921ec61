// The kernels of linear algebra, one file per group.
#pragma once

#include "runtime/kernel.h"

namespace tegula::cpu {

void run_adjugate(const KernelArgs& args);
void run_cholesky(const KernelArgs& args);
void run_determinant(const KernelArgs& args);
void run_inverse(const KernelArgs& args);
void run_lu(const KernelArgs& args);
void run_pivot_order(const KernelArgs& args);
void run_solve(const KernelArgs& args);
void run_solve_triangular(const KernelArgs& args);

void run_qr(const KernelArgs& args);
void run_eigh(const KernelArgs& args);
void run_svd(const KernelArgs& args);
void run_pinv(const KernelArgs& args);

void run_eig(const KernelArgs& args);
void run_expm(const KernelArgs& args);

}  // namespace tegula::cpu
