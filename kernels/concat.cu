// src/ops/concat.rs: columns of one matrix into columns of another, one launch for each part. Bound by memory; 16-byte access
// where the widths are multiples of eight (d + 8 of A4 is; d + 4 of D4 is not, on a few thousand notes).
#include "rows.cuh"

template <typename T>
KERNEL(threads = 256)
copy(const T* __restrict__ x, int x_stride, int x_column, T* __restrict__ y, int y_stride, int y_column, int rows, int width) {
    for_row_elements(rows, width, [&](int row, int column, int n) {
        float v[ELEMENTWISE];
        load_eight(v, x + static_cast<size_t>(row) * x_stride + x_column + column, n);
        store_eight(y + static_cast<size_t>(row) * y_stride + y_column + column, v, n);
    });
}
