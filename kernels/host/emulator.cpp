// The part of the emulator that compiled kernels link against: hooks, exchanges within a warp, and the functions that the
// compiler's instrumentation calls at every load and store.

#include "emulator.h"

#include <cstring>

namespace emulator {

const Hooks* hooks;
thread_local const Thread* current;

const uint8_t (*exchange(const void* value, size_t bytes, const char* file, unsigned line))[SLOT] {
    Thread* thread = const_cast<Thread*>(current);
    auto& set = thread->warp->slots[thread->exchanges++ % 2];
    memcpy(set[thread->lane], value, bytes);
    hooks->warp_barrier(0xffffffffu, false, file, line);
    return set;
}

} // namespace emulator

extern "C" {

#ifdef ADDRESS_SANITIZER
void __asan_set_error_report_callback(void (*callback)(const char* report));
#endif

const emulator::Thread** emulator_attach(const emulator::Hooks* hooks) {
    emulator::hooks = hooks;
#ifdef ADDRESS_SANITIZER
    __asan_set_error_report_callback(hooks->reported);
#endif
    return &emulator::current;
}

// Only kernels are instrumented, and they run only as fibers of the emulator.
#define ACCESS(kind, bytes, write)                                                                                     \
    void __tsan_##kind##bytes(void* p) { emulator::hooks->access(p, bytes, write, false); }                            \
    void __tsan_unaligned_##kind##bytes(void* p) { emulator::hooks->access(p, bytes, write, false); }                  \
    void __tsan_volatile_##kind##bytes(void* p) { emulator::hooks->access(p, bytes, write, false); }
ACCESS(read, 1, false)
ACCESS(read, 2, false)
ACCESS(read, 4, false)
ACCESS(read, 8, false)
ACCESS(read, 16, false)
ACCESS(write, 1, true)
ACCESS(write, 2, true)
ACCESS(write, 4, true)
ACCESS(write, 8, true)
ACCESS(write, 16, true)
void __tsan_read_range(void* p, size_t bytes) { emulator::hooks->access(p, bytes, false, false); }
void __tsan_write_range(void* p, size_t bytes) { emulator::hooks->access(p, bytes, true, false); }
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}

uint32_t __tsan_atomic32_fetch_add(volatile uint32_t* p, uint32_t value, int) {
    emulator::hooks->access(const_cast<uint32_t*>(p), 4, true, true);
    const uint32_t old = *p;
    *p = old + value;
    return old;
}

void __ubsan_handle_out_of_bounds(void* data, uintptr_t) {
    // The compiler's record starts with the source position.
    struct Position {
        const char* file;
        uint32_t line, column;
    };
    const Position* at = static_cast<const Position*>(data);
    emulator::hooks->fail("out of bounds: index beyond its array", at->file, at->line);
}
}
