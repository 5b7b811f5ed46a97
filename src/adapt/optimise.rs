//! The least value of a smooth convex function: limited-memory BFGS (Nocedal & Wright 2006, algorithm 7.5) with a line search
//! that halves its step until the value falls enough (Armijo).

use std::collections::VecDeque;

/// Steps whose change of position and slope is remembered.
const REMEMBERED: usize = 10;
/// The value must fall by this share of what the slope promises.
const ENOUGH: f64 = 1e-4;
/// Halvings of a step before it is given up.
const HALVINGS: usize = 30;

/// Goes from `start` downhill for at most `steps` steps and gives the position that was reached. `function` gives value and
/// gradient.
///
/// # Errors
/// Those of `function`.
pub(super) fn least<E>(
    start: Vec<f64>,
    steps: usize,
    mut function: impl FnMut(&[f64]) -> Result<(f64, Vec<f64>), E>,
) -> Result<Vec<f64>, E> {
    let mut position = start;
    let (mut value, mut gradient) = function(&position)?;
    let mut history: VecDeque<(Vec<f64>, Vec<f64>, f64)> = VecDeque::new();
    for _ in 0..steps {
        let direction = direction(&gradient, &history);
        let slope = dot(&direction, &gradient);
        if slope > -1e-12 {
            break;
        }
        let mut length = if history.is_empty() { (1.0 / dot(&gradient, &gradient).sqrt()).min(1.0) } else { 1.0 };
        let mut found = None;
        for _ in 0..HALVINGS {
            let there: Vec<f64> = position.iter().zip(&direction).map(|(x, d)| x + length * d).collect();
            let (new_value, new_gradient) = function(&there)?;
            if new_value <= value + ENOUGH * length * slope {
                found = Some((there, new_value, new_gradient));
                break;
            }
            length /= 2.0;
        }
        let Some((there, new_value, new_gradient)) = found else { break };
        let moved: Vec<f64> = there.iter().zip(&position).map(|(a, b)| a - b).collect();
        let turned: Vec<f64> = new_gradient.iter().zip(&gradient).map(|(a, b)| a - b).collect();
        let curvature = dot(&moved, &turned);
        if curvature > 1e-12 {
            if history.len() == REMEMBERED {
                history.pop_front();
            }
            history.push_back((moved, turned, curvature));
        }
        let is_flat = value - new_value < 1e-9 * value.abs().max(1e-9);
        (position, value, gradient) = (there, new_value, new_gradient);
        if is_flat {
            break;
        }
    }
    Ok(position)
}

/// Downhill, with the curvature that the history shows (the two-loop recursion).
fn direction(gradient: &[f64], history: &VecDeque<(Vec<f64>, Vec<f64>, f64)>) -> Vec<f64> {
    let mut q: Vec<f64> = gradient.to_vec();
    let mut shares = Vec::with_capacity(history.len());
    for (moved, turned, curvature) in history.iter().rev() {
        let share = dot(moved, &q) / curvature;
        q.iter_mut().zip(turned).for_each(|(q, t)| *q -= share * t);
        shares.push(share);
    }
    if let Some((_, turned, curvature)) = history.back() {
        let scale = curvature / dot(turned, turned);
        q.iter_mut().for_each(|q| *q *= scale);
    }
    for ((moved, turned, curvature), share) in history.iter().zip(shares.iter().rev()) {
        let back = dot(turned, &q) / curvature;
        q.iter_mut().zip(moved).for_each(|(q, m)| *q += (share - back) * m);
    }
    q.iter_mut().for_each(|q| *q = -*q);
    q
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_value_of_a_stretched_bowl_is_found() {
        let scales = [1.0, 100.0, 0.01, 10.0];
        let bowl = |x: &[f64]| -> Result<(f64, Vec<f64>), ()> {
            let value = x.iter().zip(scales).map(|(x, s)| s * (x - 3.0).powi(2) / 2.0).sum();
            Ok((value, x.iter().zip(scales).map(|(x, s)| s * (x - 3.0)).collect()))
        };
        let found = least(vec![-7.0; 4], 200, bowl).unwrap();
        assert!(found.iter().all(|x| (x - 3.0).abs() < 1e-2), "{found:?}");
    }
}
