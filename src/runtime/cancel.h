// Cancellation of the plan now running: checked between tasks.
#pragma once

namespace tegula {

void request_cancel();
void clear_cancel();
bool cancel_requested();
// Throws Error(interrupted) if a cancel was requested.
void check_cancel();

}  // namespace tegula
