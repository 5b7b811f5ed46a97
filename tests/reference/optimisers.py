"""Runs of optax's optimisers: optimisers.json, which src/train/optim.rs is checked against.

    pip install jax optax
    python tests/reference/optimisers.py > tests/reference/optimisers.json

The loss is sum(scale_i * w_i^2 + w_i^3 / 10) with scales 0.5, 1, 1.5, ...; all in double precision. optax and PyTorch
have the same rules for SGD with (Nesterov) momentum, Adam and AdamW.
"""

import json

import jax

jax.config.update("jax_enable_x64", True)
import jax.numpy as jnp
import optax

START = [1.0, -2.0, 0.25, 3.0]
STEPS = 6


def loss(w):
    scales = 0.5 * (1 + jnp.arange(len(w)))
    return jnp.sum(scales * w**2 + w**3 / 10)


def rule(s):
    rate, decay = s["learning_rate"], s["weight_decay"]
    if s["kind"] == "sgd":
        sgd = optax.sgd(rate, momentum=s["momentum"] or None, nesterov=s["nesterov"])
        return optax.chain(optax.add_decayed_weights(decay), sgd)
    if s["kind"] == "adam":
        return optax.chain(optax.add_decayed_weights(decay), optax.adam(rate))
    return optax.adamw(rate, weight_decay=decay)


def run(settings):
    optimiser = rule(settings)
    w = jnp.array(START, jnp.float64)
    state, after = optimiser.init(w), []
    for _ in range(STEPS):
        gradient = jax.grad(loss)(w)
        if settings["sam_rho"]:
            norm = optax.global_norm(gradient)
            gradient = jax.grad(loss)(w + settings["sam_rho"] * gradient / (norm + 1e-12))
        updates, state = optimiser.update(gradient, state, w)
        w = optax.apply_updates(w, updates)
        after.append([float(v) for v in w])
    return {"settings": settings, "start": START, "after": after}


def settings(kind, rate, weight_decay=0.0, momentum=0.0, nesterov=False, sam_rho=0.0):
    return dict(kind=kind, learning_rate=rate, weight_decay=weight_decay, momentum=momentum, nesterov=nesterov, sam_rho=sam_rho)


print(
    json.dumps(
        [
            run(s)
            for s in [
                settings("sgd", 0.05),
                settings("sgd", 0.05, momentum=0.9, weight_decay=0.01),
                settings("sgd", 0.05, momentum=0.9, nesterov=True),
                settings("adam", 0.1),
                settings("adam", 0.1, weight_decay=0.05),
                settings("adamw", 0.1, weight_decay=0.05),
                settings("sgd", 0.05, sam_rho=0.05),
                settings("adam", 0.1, sam_rho=0.05),
            ]
        ],
        indent=1,
    )
)
