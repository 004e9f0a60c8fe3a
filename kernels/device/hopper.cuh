// What only Hopper does in one instruction (sm_90a): barriers in shared memory that count arrivals and bytes, copies of whole tiles
// by the copy engine, products by four warps together. host/hopper.h holds a plain function of the same name and meaning for each.
//
// PTX ISA 9, "Parallel Synchronization: mbarrier", "cp.async.bulk.tensor" and "Asynchronous Warpgroup Level Matrix Instructions".
#pragma once

// ---- barriers in shared memory ---------------------------------------------------------------------------------------

// Completes a phase when all threads of the phase have arrived and all bytes that they announced have come.
struct alignas(8) Barrier {
    uint64_t state;
};

// By one thread; then fence_async() by that thread and a barrier of the block.
__device__ __forceinline__ void barrier_init(Barrier* barrier, int arrivals) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(arrivals) : "memory");
}

__device__ __forceinline__ void barrier_arrive(Barrier* barrier) {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier)) : "memory");
}

// Arrives and announces `bytes` that copies will bring before the phase completes.
__device__ __forceinline__ void barrier_arrive_expecting(Barrier* barrier, int bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)), "r"(bytes) : "memory");
}

// Waits until the last phase of this parity has completed: 0 for the first, third, …; 1 passes at once on a new barrier.
__device__ __forceinline__ void barrier_wait(Barrier* barrier, int parity) {
    asm volatile(
        "{\n"
        ".reg .pred done;\n"
        "AGAIN:\n"
        "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
        "@done bra.uni DONE;\n"
        "bra.uni AGAIN;\n"
        "DONE:\n"
        "}" ::"r"(shared_address(barrier)),
        "r"(parity)
        : "memory");
}

// What this thread has written to shared memory so far (barriers too) is seen by the copy engine and by wgmma.
__device__ __forceinline__ void fence_async() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

// ---- the copy engine -------------------------------------------------------------------------------------------------

// Starts copying a tile of a tensor map: the 64 columns from `column` on of as many rows as the map's tile has, from `row` of item
// `item` on, zeros where there is none, to a multiple of 1,024 bytes in shared memory; its bytes count towards `barrier`. By one thread.
__device__ __forceinline__ void copy_tile_async(void* to, const TensorMap& map, Barrier* barrier, int column, int row, int item) {
    asm volatile("cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5}], [%2];" ::"r"(
                     shared_address(to)),
                 "l"(&map), "r"(shared_address(barrier)), "r"(column), "r"(row), "r"(item)
                 : "memory");
}

// Fetches the map itself ahead of its first use.
__device__ __forceinline__ void prefetch_map(const TensorMap& map) { asm volatile("prefetch.tensormap [%0];" ::"l"(&map) : "memory"); }

// ---- registers of a warpgroup ----------------------------------------------------------------------------------------

// Leaves each thread of this warpgroup REGISTERS, fewer than it has; the block's others can take what was given.
template <int REGISTERS>
__device__ __forceinline__ void give_registers() {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(REGISTERS));
}

// Waits until each thread of this warpgroup can have REGISTERS, more than it has.
template <int REGISTERS>
__device__ __forceinline__ void take_registers() {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(REGISTERS));
}

// ---- products of a warpgroup: four warps, the first of which is a multiple of four -----------------------------------

// Registers that wgmma takes, written so far, are seen by those started later. Before the first wgmma after they were touched.
__device__ __forceinline__ void wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }

// Closes the group of wgmma that were started since the last one.
__device__ __forceinline__ void wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }

// Waits until at most PENDING groups are still under way.
template <int PENDING>
__device__ __forceinline__ void wgmma_wait() {
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(PENDING) : "memory");
}

// Keeps the compiler from reading or moving accumulators across this point; after the wait for them, before the fence.
template <int N>
__device__ __forceinline__ void wgmma_settled(float (&d)[N][4]) {
#pragma unroll
    for (int j = 0; j < N; j++) asm volatile("" : "+f"(d[j][0]), "+f"(d[j][1]), "+f"(d[j][2]), "+f"(d[j][3])::"memory");
}

#define FOUR(d, j) "+f"(d[j][0]), "+f"(d[j][1]), "+f"(d[j][2]), "+f"(d[j][3])
#define THIRTY_TWO(d, j)                                                                                               \
    FOUR(d, j), FOUR(d, j + 1), FOUR(d, j + 2), FOUR(d, j + 3), FOUR(d, j + 4), FOUR(d, j + 5), FOUR(d, j + 6), FOUR(d, j + 7)
#define NAMES_32                                                                                                       \
    "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31"
#define NAMES_64                                                                                                       \
    NAMES_32 ",%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,"  \
             "%60,%61,%62,%63"

// Starts d[64, 8·N] = a[64, 16] · b[16, 8·N], plus d where `accumulate`. A thread holds d as mma_bf16's, tile after tile of eight
// columns, its warp rows 16·(warp mod 4) on. `a` and `b` are descriptors of tiles in shared memory (hopper.cuh); a tile that is
// contiguous across k rather than along it is marked ACROSS.
template <bool A_ACROSS, bool B_ACROSS, int N>
__device__ __forceinline__ void wgmma(float (&d)[N][4], uint64_t a, uint64_t b, bool accumulate) {
    static_assert(N == 8 || N == 16, "64 or 128 columns");
    const int add = accumulate;
    if constexpr (N == 8) {
        asm volatile("{\n.reg .pred add;\nsetp.ne.b32 add, %34, 0;\n"
                     "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {" NAMES_32 "}, %32, %33, add, 1, 1, %35, %36;\n}"
                     : THIRTY_TWO(d, 0)
                     : "l"(a), "l"(b), "r"(add), "n"(A_ACROSS), "n"(B_ACROSS));
    } else {
        asm volatile("{\n.reg .pred add;\nsetp.ne.b32 add, %66, 0;\n"
                     "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {" NAMES_64 "}, %64, %65, add, 1, 1, %67, %68;\n}"
                     : THIRTY_TWO(d, 0), THIRTY_TWO(d, 8)
                     : "l"(a), "l"(b), "r"(add), "n"(A_ACROSS), "n"(B_ACROSS));
    }
}

// The same with `a` in registers, each warp's sixteen rows as mma_bf16 takes them.
template <bool B_ACROSS, int N>
__device__ __forceinline__ void wgmma(float (&d)[N][4], const uint32_t (&a)[4], uint64_t b, bool accumulate) {
    static_assert(N == 8 || N == 16, "64 or 128 columns");
    const int add = accumulate;
    if constexpr (N == 8) {
        asm volatile("{\n.reg .pred add;\nsetp.ne.b32 add, %37, 0;\n"
                     "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {" NAMES_32 "}, {%32,%33,%34,%35}, %36, add, 1, 1, %38;\n}"
                     : THIRTY_TWO(d, 0)
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(add), "n"(B_ACROSS));
    } else {
        asm volatile("{\n.reg .pred add;\nsetp.ne.b32 add, %69, 0;\n"
                     "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {" NAMES_64 "}, {%64,%65,%66,%67}, %68, add, 1, 1, %70;\n}"
                     : THIRTY_TWO(d, 0), THIRTY_TWO(d, 8)
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(add), "n"(B_ACROSS));
    }
}

#undef FOUR
#undef THIRTY_TWO
#undef NAMES_32
#undef NAMES_64
