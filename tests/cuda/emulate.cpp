// Runs the CUDA kernels on the CPU, block after block, so that their arithmetic is tested where there is no card.
//
//     c++ -std=c++20 -pthread -I tests/cuda -o emulate tests/cuda/emulate.cpp
//
// A call is words on standard input: the kernel's name, blocks and threads (three numbers each), then the kernel's
// arguments in its order. A number stands for itself, a window for its nine numbers; an array that is read begins with
// its length, and of one that is written only the length is given. The answer is the written array on one line.

#include <algorithm>
#include <barrier>
#include <cmath>
#include <cstdint>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

#define __device__
#define __global__
#define __forceinline__ inline
#define __shared__ static
#define __syncthreads() meeting->arrive_and_wait()

struct Three { uint32_t x, y, z; };
static thread_local Three threadIdx, blockIdx;
static Three blockDim, gridDim;
static std::barrier<> *meeting;
static float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
using std::min;

#include "../../src/kernels/cuda/kernels.cu"

template <typename T> T number() {
    T value;
    std::cin >> value;
    return value;
}

template <typename T> std::vector<T> input() {
    std::vector<T> values(number<size_t>());
    for (T &value : values) store(&value, number<float>());
    return values;
}

static Window window() {
    uint32_t n[9];
    for (uint32_t &value : n) value = number<uint32_t>();
    return {n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7], n[8]};
}

// Threads that meet run at the same time, others one after the other.
template <typename F> void launch(bool meets, F kernel) {
    std::barrier<> barrier(blockDim.x * blockDim.y * blockDim.z);
    meeting = &barrier;
    for (uint32_t z = 0; z < gridDim.z; z++)
        for (uint32_t y = 0; y < gridDim.y; y++)
            for (uint32_t x = 0; x < gridDim.x; x++) {
                std::vector<std::thread> threads;
                for (uint32_t ty = 0; ty < blockDim.y; ty++)
                    for (uint32_t tx = 0; tx < blockDim.x; tx++) {
                        auto one = [=] {
                            blockIdx = {x, y, z};
                            threadIdx = {tx, ty, 0};
                            kernel();
                        };
                        if (meets) threads.emplace_back(one);
                        else one();
                    }
                for (std::thread &thread : threads) thread.join();
            }
}

template <typename T, typename F> void answer_with(std::vector<T> &written, bool meets, F kernel) {
    launch(meets, [&] { kernel(written.data()); });
    for (const T &value : written) std::cout << load(&value) << ' ';
    std::cout << std::endl;
}

template <typename T, typename F> void answer(bool meets, F kernel) {
    std::vector<T> written(number<size_t>());
    for (T &value : written) store(&value, NAN);
    answer_with(written, meets, kernel);
}

// What a kernel makes of values that it changes, the last of its arguments.
template <typename F> void changed(F kernel) {
    auto values = input<float>();
    number<size_t>();
    answer_with(values, false, kernel);
}

static uint32_t u() { return number<uint32_t>(); }
static float f() { return number<float>(); }

#define CALLS(T, NAME) \
    if (name == "depthwise_" #NAME) { auto c = u(); auto w = window(); auto x = input<T>(), k = input<T>(); \
        return answer<T>(false, [&](T *y) { depthwise_##NAME(c, w, x.data(), k.data(), y); }); } \
    if (name == "depthwise_bias_" #NAME) { auto c = u(); auto w = window(); auto x = input<T>(), k = input<T>(); \
        auto b = input<float>(); auto kind = u(); \
        return answer<T>(false, [&](T *y) { depthwise_bias_##NAME(c, w, x.data(), k.data(), b.data(), kind, y); }); } \
    if (name == "finish_" #NAME) { auto e = u(), c = u(); auto x = input<T>(); auto b = input<float>(); auto kind = u(); \
        return answer<T>(false, [&](T *y) { finish_##NAME(e, c, x.data(), b.data(), kind, y); }); } \
    if (name == "finish_and_add_" #NAME) { auto e = u(), c = u(); auto x = input<T>(); auto b = input<float>(); auto kind = u(); \
        auto s = input<T>(); \
        return answer<T>(false, [&](T *y) { finish_and_add_##NAME(e, c, x.data(), b.data(), kind, s.data(), y); }); } \
    if (name == "gate_" #NAME) { auto e = u(), p = u(), c = u(); auto x = input<T>(), z = input<T>(); auto b = input<float>(); \
        return answer<T>(false, [&](T *y) { gate_##NAME(e, p, c, x.data(), z.data(), b.data(), y); }); } \
    if (name == "depthwise_input_" #NAME) { auto c = u(); auto w = window(); auto x = input<T>(), k = input<T>(); \
        return answer<T>(false, [&](T *y) { depthwise_input_##NAME(c, w, x.data(), k.data(), y); }); } \
    if (name == "depthwise_weights_" #NAME) { auto c = u(); auto w = window(); auto x = input<T>(), d = input<T>(); \
        return answer<float>(true, [&](float *y) { depthwise_weights_##NAME(c, w, x.data(), d.data(), y); }); } \
    if (name == "sum_pieces_" #NAME) { auto c = u(), p = u(); auto x = input<float>(); \
        return answer<T>(false, [&](T *y) { sum_pieces_##NAME(c, p, x.data(), y); }); } \
    if (name == "column_sums_" #NAME) { auto r = u(), c = u(); auto x = input<T>(); \
        return answer<float>(true, [&](float *y) { column_sums_##NAME(r, c, x.data(), y); }); } \
    if (name == "normalise_" #NAME) { auto e = u(), c = u(); auto x = input<T>(); auto n = input<float>(); auto eps = f(); auto kind = u(); \
        return answer<T>(false, [&](T *y) { normalise_##NAME(e, c, x.data(), n.data(), eps, kind, y); }); } \
    if (name == "norm_sums_" #NAME) { auto r = u(), c = u(); auto x = input<T>(), d = input<T>(); auto n = input<float>(); \
        auto eps = f(); auto kind = u(); \
        return answer<float>(true, [&](float *y) { norm_sums_##NAME(r, c, x.data(), d.data(), n.data(), eps, kind, y); }); } \
    if (name == "norm_input_" #NAME) { auto e = u(), c = u(); auto x = input<T>(), d = input<T>(); \
        auto n = input<float>(), s = input<float>(); auto share = f(), eps = f(); auto kind = u(); \
        return answer<T>(false, [&](T *y) { norm_input_##NAME(e, c, x.data(), d.data(), n.data(), s.data(), share, eps, kind, y); }); } \
    if (name == "patches_" #NAME) { auto c = u(); auto w = window(); auto x = input<T>(); \
        return answer<T>(false, [&](T *y) { patches_##NAME(c, w, x.data(), y); }); } \
    if (name == "mean_" #NAME) { auto p = u(), c = u(); auto x = input<T>(); \
        return answer<T>(true, [&](T *y) { mean_##NAME(p, c, x.data(), y); }); } \
    if (name == "mean_input_" #NAME) { auto e = u(), p = u(), c = u(); auto x = input<T>(); \
        return answer<T>(false, [&](T *y) { mean_input_##NAME(e, p, c, x.data(), y); }); } \
    if (name == "scale_" #NAME) { auto e = u(), p = u(), c = u(); auto x = input<T>(), s = input<T>(); \
        return answer<T>(false, [&](T *y) { scale_##NAME(e, p, c, x.data(), s.data(), y); }); } \
    if (name == "scale_factors_" #NAME) { auto e = u(), p = u(), c = u(); auto x = input<T>(), d = input<T>(); \
        return answer<T>(false, [&](T *y) { scale_factors_##NAME(e, p, c, x.data(), d.data(), y); }); }

static void call(const std::string &name) {
    gridDim = {u(), u(), u()};
    blockDim = {u(), u(), u()};
    if (name == "moments") {
        auto c = u(), p = u(), r = u();
        auto x = input<float>();
        return answer<float>(false, [&](float *y) { moments(c, p, r, x.data(), y); });
    }
    if (name == "adam_state") { auto c = u(); auto g = input<float>(), v = input<float>(); auto b1 = f(), b2 = f(), decay = f();
        return changed([&](float *s) { adam_state(c, g.data(), v.data(), b1, b2, decay, s); }); }
    if (name == "adam_step") { auto c = u(); auto s = input<float>(); auto rate = f(), second = f(), eps = f(), keep = f();
        return changed([&](float *v) { adam_step(c, s.data(), rate, second, eps, keep, v); }); }
    if (name == "sgd_state") { auto c = u(); auto g = input<float>(), v = input<float>(); auto momentum = f(), decay = f();
        return changed([&](float *s) { sgd_state(c, g.data(), v.data(), momentum, decay, s); }); }
    if (name == "sgd_step") { auto c = u(); auto g = input<float>(), s = input<float>();
        auto rate = f(), of_gradient = f(), of_velocity = f(), decay = f();
        return changed([&](float *v) { sgd_step(c, g.data(), s.data(), rate, of_gradient, of_velocity, decay, v); }); }
    if (name == "blend") { auto c = u(); auto o = input<float>(); auto of_values = f(), of_others = f();
        return changed([&](float *v) { blend(c, o.data(), of_values, of_others, v); }); }
    CALLS(float, f32)
    CALLS(__half, f16)
    CALLS(__nv_bfloat16, bf16)
    std::cerr << "no kernel " << name << std::endl;
    std::exit(1);
}

int main() {
    std::cout.precision(9);
    for (std::string name; std::cin >> name;) call(name);
}
