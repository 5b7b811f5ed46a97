// The networks' operations for CUDA, on channels-last tensors; mod.rs launches them. Each is the twin of a plain
// function in ../train, or in ../folded.rs, and sums in single precision, whatever the tensors' type. Sums over many pixels are split into
// pieces by the shapes alone and added in order, so that a result does not depend on the card.
//
// The networks' kernels exist for float, half and bfloat16: `depthwise_f32`, `depthwise_f16`, `depthwise_bf16`. Indices have 32
// bits; the launching code refuses tensors of 2^31 elements and more.

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <stdint.h>

__device__ __forceinline__ float load(const float *p) { return *p; }
__device__ __forceinline__ float load(const __half *p) { return __half2float(*p); }
__device__ __forceinline__ float load(const __nv_bfloat16 *p) { return __bfloat162float(*p); }
__device__ __forceinline__ void store(float *p, float v) { *p = v; }
__device__ __forceinline__ void store(__half *p, float v) { *p = __float2half_rn(v); }
__device__ __forceinline__ void store(__nv_bfloat16 *p, float v) { *p = __float2bfloat16_rn(v); }

// The variants of `Activation` in ../activation.rs, in the same order.
enum { IDENTITY, RELU, RELU6, SILU };

__device__ __forceinline__ float activation(uint32_t kind, float z) {
    switch (kind) {
    case RELU: return fmaxf(z, 0.0f);
    case RELU6: return fminf(fmaxf(z, 0.0f), 6.0f);
    case SILU: return z / (1.0f + expf(-z));
    default: return z;
    }
}

__device__ __forceinline__ float derivative(uint32_t kind, float z) {
    switch (kind) {
    case RELU: return z > 0.0f ? 1.0f : 0.0f;
    case RELU6: return z > 0.0f && z < 6.0f ? 1.0f : 0.0f;
    case SILU: {
        float s = 1.0f / (1.0f + expf(-z));
        return s * (1.0f + z * (1.0f - s));
    }
    default: return 1.0f;
    }
}

// A window that moves over pictures, as `Window` in ../window.rs; `top` and `left` are the padding before the first row
// and column.
struct Window {
    uint32_t height, width, out_height, out_width, channels, kernel, stride, top, left;
};

// Batch normalisation of a channel. `norm` is [4, channels], always float: gamma, beta, mean, variance.
struct Norm {
    float gamma, beta, mean, deviation;
    __device__ Norm(const float *norm, uint32_t channels, uint32_t channel, float eps)
        : gamma(norm[channel]), beta(norm[channels + channel]), mean(norm[2 * channels + channel]),
          deviation(rsqrtf(norm[3 * channels + channel] + eps)) {}
    __device__ float normal(float x) const { return (x - mean) * deviation; }
    __device__ float apply(float x) const { return normal(x) * gamma + beta; }
};

// Neighbouring channels, which one access to memory brings.
template <typename T, int N> struct alignas(N * sizeof(T)) Group {
    T values[N];
};

template <int N, typename T> __device__ __forceinline__ Group<T, N> group(const T *p) {
    return *reinterpret_cast<const Group<T, N> *>(p);
}

// Adds to `sums` what a depthwise convolution gives for N channels from `channel` on, of an output pixel counted over all images.
template <int N, typename T>
__device__ __forceinline__ void add_window(float *sums, const Window &w, uint32_t pixel, uint32_t channel, const T *x, const T *weights) {
    uint32_t out_column = pixel % w.out_width, out_row = pixel / w.out_width % w.out_height;
    uint32_t image = pixel / w.out_width / w.out_height;
    for (uint32_t ky = 0; ky < w.kernel; ky++) {
        // Unsigned: an index before the picture wraps round, so it lies beyond the picture's end too.
        uint32_t row = out_row * w.stride + ky - w.top;
        if (row >= w.height) continue;
        for (uint32_t kx = 0; kx < w.kernel; kx++) {
            uint32_t column = out_column * w.stride + kx - w.left;
            if (column >= w.width) continue;
            Group<T, N> values = group<N>(x + ((image * w.height + row) * w.width + column) * w.channels + channel);
            Group<T, N> filter = group<N>(weights + (ky * w.kernel + kx) * w.channels + channel);
            for (int i = 0; i < N; i++) sums[i] += load(values.values + i) * load(filter.values + i);
        }
    }
}

// Each thread computes one output element.
template <typename T> __device__ void depthwise(uint32_t count, Window w, const T *x, const T *weights, T *y) {
    uint32_t index = blockIdx.x * blockDim.x + threadIdx.x;
    if (index >= count) return;
    float sum = 0.0f;
    add_window<1>(&sum, w, index / w.channels, index % w.channels, x, weights);
    store(y + index, sum);
}

// Each thread computes one input element: the sum over the outputs that depend on it.
template <typename T> __device__ void depthwise_input(uint32_t count, Window w, const T *dy, const T *weights, T *dx) {
    uint32_t index = blockIdx.x * blockDim.x + threadIdx.x;
    if (index >= count) return;
    uint32_t channel = index % w.channels, pixel = index / w.channels;
    uint32_t column = pixel % w.width, row = pixel / w.width % w.height, image = pixel / w.width / w.height;
    float sum = 0.0f;
    for (uint32_t ky = 0; ky < w.kernel; ky++) {
        uint32_t below = row + w.top - ky;
        if (below % w.stride || below / w.stride >= w.out_height || row + w.top < ky) continue;
        for (uint32_t kx = 0; kx < w.kernel; kx++) {
            uint32_t right = column + w.left - kx;
            if (right % w.stride || right / w.stride >= w.out_width || column + w.left < kx) continue;
            uint32_t out = (image * w.out_height + below / w.stride) * w.out_width + right / w.stride;
            sum += load(dy + out * w.channels + channel) * load(weights + (ky * w.kernel + kx) * w.channels + channel);
        }
    }
    store(dx + index, sum);
}

// Sums a block's values (32 channels by 8 rows) over the rows; the threads of row 0 receive the sums.
__device__ __forceinline__ float over_rows(float value) {
    __shared__ float sums[8][32];
    __syncthreads();
    sums[threadIdx.y][threadIdx.x] = value;
    __syncthreads();
    float sum = 0.0f;
    if (threadIdx.y == 0)
        for (uint32_t row = 0; row < 8; row++) sum += sums[row][threadIdx.x];
    return sum;
}

// Each block computes 32 channels (x) of one weight (y) over one piece of the output pixels (z): partial [pieces,
// kernel * kernel, channels].
template <typename T>
__device__ void depthwise_weights(uint32_t pixels, Window w, const T *x, const T *dy, float *partial) {
    uint32_t channel = blockIdx.x * 32 + threadIdx.x, ky = blockIdx.y / w.kernel, kx = blockIdx.y % w.kernel;
    uint32_t piece = (pixels + gridDim.z - 1) / gridDim.z, first = blockIdx.z * piece;
    uint32_t last = min(first + piece, pixels);
    float sum = 0.0f;
    if (channel < w.channels)
        for (uint32_t pixel = first + threadIdx.y; pixel < last; pixel += 8) {
            uint32_t row = pixel / w.out_width % w.out_height * w.stride + ky - w.top;
            uint32_t column = pixel % w.out_width * w.stride + kx - w.left;
            if (row >= w.height || column >= w.width) continue;
            uint32_t image = pixel / w.out_width / w.out_height;
            sum += load(x + ((image * w.height + row) * w.width + column) * w.channels + channel)
                 * load(dy + pixel * w.channels + channel);
        }
    sum = over_rows(sum);
    if (threadIdx.y == 0 && channel < w.channels)
        partial[(blockIdx.z * gridDim.y + blockIdx.y) * w.channels + channel] = sum;
}

// total[i] = sum of partial[piece][i] over the pieces.
template <typename T> __device__ void sum_pieces(uint32_t count, uint32_t pieces, const float *partial, T *total) {
    uint32_t index = blockIdx.x * blockDim.x + threadIdx.x;
    if (index >= count) return;
    float sum = 0.0f;
    for (uint32_t piece = 0; piece < pieces; piece++) sum += partial[piece * count + index];
    store(total + index, sum);
}

// Each block computes 32 channels (x) of one piece of the rows (y): sums and sums of squares, partial [pieces, 2,
// channels].
template <typename T> __device__ void column_sums(uint32_t rows, uint32_t channels, const T *x, float *partial) {
    uint32_t channel = blockIdx.x * 32 + threadIdx.x;
    uint32_t piece = (rows + gridDim.y - 1) / gridDim.y, first = blockIdx.y * piece, last = min(first + piece, rows);
    float sum = 0.0f, squares = 0.0f;
    if (channel < channels)
        for (uint32_t row = first + threadIdx.y; row < last; row += 8) {
            float value = load(x + row * channels + channel);
            sum += value;
            squares += value * value;
        }
    sum = over_rows(sum);
    squares = over_rows(squares);
    if (threadIdx.y == 0 && channel < channels) {
        partial[(blockIdx.y * 2) * channels + channel] = sum;
        partial[(blockIdx.y * 2 + 1) * channels + channel] = squares;
    }
}

// Turns partial sums into [2, channels]: mean and population variance.
extern "C" __global__ void moments(uint32_t channels, uint32_t pieces, uint32_t rows, const float *partial, float *result) {
    uint32_t channel = blockIdx.x * blockDim.x + threadIdx.x;
    if (channel >= channels) return;
    double sum = 0.0, squares = 0.0;
    for (uint32_t piece = 0; piece < pieces; piece++) {
        sum += partial[piece * 2 * channels + channel];
        squares += partial[(piece * 2 + 1) * channels + channel];
    }
    double mean = sum / rows, variance = squares / rows - mean * mean;
    result[channel] = mean;
    result[channels + channel] = variance > 0.0 ? variance : 0.0;
}

// The epilogue of a matrix product: normalisation and activation.
template <typename T>
__device__ void normalise(uint32_t count, uint32_t channels, const T *x, const float *norm, float eps, uint32_t kind, T *y) {
    uint32_t index = blockIdx.x * blockDim.x + threadIdx.x;
    if (index >= count) return;
    store(y + index, activation(kind, Norm(norm, channels, index % channels, eps).apply(load(x + index))));
}

// Sums the gradient before the activation, and its product with the normalised x: partial [pieces, 2, channels],
// gamma's first.
template <typename T>
__device__ void norm_sums(uint32_t rows, uint32_t channels, const T *x, const T *dy, const float *norm, float eps, uint32_t kind, float *partial) {
    uint32_t channel = blockIdx.x * 32 + threadIdx.x;
    uint32_t piece = (rows + gridDim.y - 1) / gridDim.y, first = blockIdx.y * piece, last = min(first + piece, rows);
    float gamma = 0.0f, beta = 0.0f;
    if (channel < channels) {
        Norm n(norm, channels, channel, eps);
        for (uint32_t row = first + threadIdx.y; row < last; row += 8) {
            float value = load(x + row * channels + channel);
            float dn = load(dy + row * channels + channel) * derivative(kind, n.apply(value));
            gamma += dn * n.normal(value);
            beta += dn;
        }
    }
    gamma = over_rows(gamma);
    beta = over_rows(beta);
    if (threadIdx.y == 0 && channel < channels) {
        partial[(blockIdx.y * 2) * channels + channel] = gamma;
        partial[(blockIdx.y * 2 + 1) * channels + channel] = beta;
    }
}

// `sums` is [2, channels], the gradients of gamma and beta; `share` is 1 / rows if the statistics depend on x, else 0.
template <typename T>
__device__ void norm_input(uint32_t count, uint32_t channels, const T *x, const T *dy, const float *norm, const float *sums, float share,
                           float eps, uint32_t kind, T *dx) {
    uint32_t index = blockIdx.x * blockDim.x + threadIdx.x;
    if (index >= count) return;
    uint32_t channel = index % channels;
    Norm n(norm, channels, channel, eps);
    float value = load(x + index);
    float dn = load(dy + index) * derivative(kind, n.apply(value));
    float mean = sums[channels + channel] * share, slope = sums[channel] * share;
    store(dx + index, n.gamma * n.deviation * (dn - mean - n.normal(value) * slope));
}

// Copies windows into rows; each thread copies one element.
template <typename T> __device__ void patches(uint32_t count, Window w, const T *x, T *rows) {
    uint32_t index = blockIdx.x * blockDim.x + threadIdx.x;
    if (index >= count) return;
    uint32_t channel = index % w.channels, tap = index / w.channels % (w.kernel * w.kernel);
    uint32_t pixel = index / w.channels / (w.kernel * w.kernel);
    uint32_t row = pixel / w.out_width % w.out_height * w.stride + tap / w.kernel - w.top;
    uint32_t column = pixel % w.out_width * w.stride + tap % w.kernel - w.left;
    uint32_t image = pixel / w.out_width / w.out_height;
    bool inside = row < w.height && column < w.width;
    store(rows + index, inside ? load(x + ((image * w.height + row) * w.width + column) * w.channels + channel) : 0.0f);
}

// The mean over the pixels of each image; each block computes 32 channels (x) of one image (y).
template <typename T> __device__ void mean(uint32_t pixels, uint32_t channels, const T *x, T *y) {
    uint32_t channel = blockIdx.x * 32 + threadIdx.x;
    const T *first = x + blockIdx.y * pixels * channels + channel;
    float sum = 0.0f;
    if (channel < channels)
        for (uint32_t pixel = threadIdx.y; pixel < pixels; pixel += 8) sum += load(first + pixel * channels);
    sum = over_rows(sum);
    if (threadIdx.y == 0 && channel < channels) store(y + blockIdx.y * channels + channel, sum / pixels);
}

template <typename T> __device__ void mean_input(uint32_t count, uint32_t pixels, uint32_t channels, const T *dy, T *dx) {
    uint32_t index = blockIdx.x * blockDim.x + threadIdx.x;
    if (index >= count) return;
    store(dx + index, load(dy + index / channels / pixels * channels + index % channels) / pixels);
}

// x times a factor for each channel of each image.
template <typename T> __device__ void scale(uint32_t count, uint32_t pixels, uint32_t channels, const T *x, const T *factors, T *y) {
    uint32_t index = blockIdx.x * blockDim.x + threadIdx.x;
    if (index >= count) return;
    store(y + index, load(x + index) * load(factors + index / channels / pixels * channels + index % channels));
}

template <typename T>
__device__ void scale_factors(uint32_t count, uint32_t pixels, uint32_t channels, const T *x, const T *dy, T *factors) {
    uint32_t index = blockIdx.x * blockDim.x + threadIdx.x;
    if (index >= count) return;
    uint32_t first = index / channels * pixels * channels + index % channels;
    float sum = 0.0f;
    for (uint32_t pixel = 0; pixel < pixels; pixel++) sum += load(x + first + pixel * channels) * load(dy + first + pixel * channels);
    store(factors + index, sum);
}

// What inference runs, where normalisation lies in the weights and a bias: each thread computes a group of this many channels. A
// tensor's channels are a multiple of it, and `count` counts groups.
enum { GROUP = 4 };

// Activates sums and adds what goes past the layers, if anything does.
template <typename T> __device__ __forceinline__ void finish_group(const float *sums, uint32_t kind, const T *shortcut, T *y) {
    Group<T, GROUP> result, added;
    if (shortcut) added = group<GROUP>(shortcut);
    for (uint32_t i = 0; i < GROUP; i++)
        store(result.values + i, activation(kind, sums[i]) + (shortcut ? load(added.values + i) : 0.0f));
    *reinterpret_cast<Group<T, GROUP> *>(y) = result;
}

// A depthwise convolution with its bias and activation.
template <typename T>
__device__ void depthwise_bias(uint32_t count, Window w, const T *x, const T *weights, const float *bias, uint32_t kind, T *y) {
    uint32_t index = blockIdx.x * blockDim.x + threadIdx.x;
    if (index >= count) return;
    uint32_t groups = w.channels / GROUP, channel = index % groups * GROUP;
    float sums[GROUP];
    for (uint32_t i = 0; i < GROUP; i++) sums[i] = bias[channel + i];
    add_window<GROUP>(sums, w, index / groups, channel, x, weights);
    finish_group<T>(sums, kind, nullptr, y + index * GROUP);
}

// What follows a matrix product.
template <typename T>
__device__ void finish(uint32_t count, uint32_t channels, const T *x, const float *bias, uint32_t kind, const T *shortcut, T *y) {
    uint32_t index = blockIdx.x * blockDim.x + threadIdx.x;
    if (index >= count) return;
    uint32_t channel = index % (channels / GROUP) * GROUP;
    Group<T, GROUP> values = group<GROUP>(x + index * GROUP);
    float sums[GROUP];
    for (uint32_t i = 0; i < GROUP; i++) sums[i] = load(values.values + i) + bias[channel + i];
    finish_group(sums, kind, shortcut ? shortcut + index * GROUP : nullptr, y + index * GROUP);
}

// x times the logistic function of z + bias, which each channel of each image has one of.
template <typename T>
__device__ void gate(uint32_t count, uint32_t pixels, uint32_t channels, const T *x, const T *z, const float *bias, T *y) {
    uint32_t index = blockIdx.x * blockDim.x + threadIdx.x;
    if (index >= count) return;
    uint32_t groups = channels / GROUP, channel = index % groups * GROUP;
    Group<T, GROUP> values = group<GROUP>(x + index * GROUP);
    Group<T, GROUP> logits = group<GROUP>(z + index / groups / pixels * channels + channel);
    float products[GROUP];
    for (uint32_t i = 0; i < GROUP; i++)
        products[i] = load(values.values + i) / (1.0f + expf(-(load(logits.values + i) + bias[channel + i])));
    finish_group<T>(products, IDENTITY, nullptr, y + index * GROUP);
}

// The optimisers' steps (../train/update.rs), each thread one weight. `state` holds a velocity, or both moments one after the other;
// the steps that move the weights come after those that move the state.
extern "C" __global__ void adam_state(uint32_t count, const float *gradient, const float *value, float b1, float b2, float decay,
        float *state) {
    uint32_t index = blockIdx.x * blockDim.x + threadIdx.x;
    if (index >= count) return;
    float g = gradient[index] + decay * value[index];
    state[index] = b1 * state[index] + (1.0f - b1) * g;
    state[count + index] = b2 * state[count + index] + (1.0f - b2) * g * g;
}

extern "C" __global__ void adam_step(uint32_t count, const float *state, float rate, float second_correction, float eps, float keep,
        float *value) {
    uint32_t index = blockIdx.x * blockDim.x + threadIdx.x;
    if (index >= count) return;
    value[index] = keep * value[index] - rate * state[index] / (sqrtf(state[count + index] * second_correction) + eps);
}

extern "C" __global__ void sgd_state(uint32_t count, const float *gradient, const float *value, float momentum, float decay,
        float *velocity) {
    uint32_t index = blockIdx.x * blockDim.x + threadIdx.x;
    if (index >= count) return;
    velocity[index] = momentum * velocity[index] + gradient[index] + decay * value[index];
}

extern "C" __global__ void sgd_step(uint32_t count, const float *gradient, const float *velocity, float rate, float of_gradient,
        float of_velocity, float decay, float *value) {
    uint32_t index = blockIdx.x * blockDim.x + threadIdx.x;
    if (index >= count) return;
    float g = gradient[index] + decay * value[index];
    value[index] -= rate * (of_gradient * g + of_velocity * velocity[index]);
}

// values = of_values * values + of_others * others.
extern "C" __global__ void blend(uint32_t count, const float *others, float of_values, float of_others, float *values) {
    uint32_t index = blockIdx.x * blockDim.x + threadIdx.x;
    if (index >= count) return;
    values[index] = of_values * values[index] + of_others * others[index];
}

#define KERNELS(T, NAME) \
extern "C" __global__ void depthwise_##NAME(uint32_t count, Window w, const T *x, const T *weights, T *y) { \
    depthwise<T>(count, w, x, weights, y); } \
extern "C" __global__ void depthwise_bias_##NAME(uint32_t count, Window w, const T *x, const T *weights, const float *bias, \
        uint32_t kind, T *y) { \
    depthwise_bias<T>(count, w, x, weights, bias, kind, y); } \
extern "C" __global__ void finish_##NAME(uint32_t count, uint32_t channels, const T *x, const float *bias, uint32_t kind, T *y) { \
    finish<T>(count, channels, x, bias, kind, nullptr, y); } \
extern "C" __global__ void finish_and_add_##NAME(uint32_t count, uint32_t channels, const T *x, const float *bias, uint32_t kind, \
        const T *shortcut, T *y) { \
    finish<T>(count, channels, x, bias, kind, shortcut, y); } \
extern "C" __global__ void gate_##NAME(uint32_t count, uint32_t pixels, uint32_t channels, const T *x, const T *z, const float *bias, \
        T *y) { \
    gate<T>(count, pixels, channels, x, z, bias, y); } \
extern "C" __global__ void depthwise_input_##NAME(uint32_t count, Window w, const T *dy, const T *weights, T *dx) { \
    depthwise_input<T>(count, w, dy, weights, dx); } \
extern "C" __global__ void depthwise_weights_##NAME(uint32_t pixels, Window w, const T *x, const T *dy, float *partial) { \
    depthwise_weights<T>(pixels, w, x, dy, partial); } \
extern "C" __global__ void sum_pieces_##NAME(uint32_t count, uint32_t pieces, const float *partial, T *total) { \
    sum_pieces<T>(count, pieces, partial, total); } \
extern "C" __global__ void column_sums_##NAME(uint32_t rows, uint32_t channels, const T *x, float *partial) { \
    column_sums<T>(rows, channels, x, partial); } \
extern "C" __global__ void normalise_##NAME(uint32_t count, uint32_t channels, const T *x, const float *norm, float eps, uint32_t kind, T *y) { \
    normalise<T>(count, channels, x, norm, eps, kind, y); } \
extern "C" __global__ void norm_sums_##NAME(uint32_t rows, uint32_t channels, const T *x, const T *dy, const float *norm, float eps, \
        uint32_t kind, float *partial) { \
    norm_sums<T>(rows, channels, x, dy, norm, eps, kind, partial); } \
extern "C" __global__ void norm_input_##NAME(uint32_t count, uint32_t channels, const T *x, const T *dy, const float *norm, const float *sums, \
        float share, float eps, uint32_t kind, T *dx) { \
    norm_input<T>(count, channels, x, dy, norm, sums, share, eps, kind, dx); } \
extern "C" __global__ void patches_##NAME(uint32_t count, Window w, const T *x, T *rows) { patches<T>(count, w, x, rows); } \
extern "C" __global__ void mean_##NAME(uint32_t pixels, uint32_t channels, const T *x, T *y) { mean<T>(pixels, channels, x, y); } \
extern "C" __global__ void mean_input_##NAME(uint32_t count, uint32_t pixels, uint32_t channels, const T *dy, T *dx) { \
    mean_input<T>(count, pixels, channels, dy, dx); } \
extern "C" __global__ void scale_##NAME(uint32_t count, uint32_t pixels, uint32_t channels, const T *x, const T *factors, T *y) { \
    scale<T>(count, pixels, channels, x, factors, y); } \
extern "C" __global__ void scale_factors_##NAME(uint32_t count, uint32_t pixels, uint32_t channels, const T *x, const T *dy, T *factors) { \
    scale_factors<T>(count, pixels, channels, x, dy, factors); }

KERNELS(float, f32)
KERNELS(__half, f16)
KERNELS(__nv_bfloat16, bf16)
