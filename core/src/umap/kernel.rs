//! Arithmetic of the layout: fast powers, attraction and repulsion of one point by a batch of others.
//!
//! Plain multiplications and additions in a fixed order, no fused ones: every instruction set gives the same bits.

/// Points handled together: one AVX-512 register, or two of AVX2.
pub(super) const LANES: usize = 16;

/// log2 of a positive normal number, relative error 2e-6.
#[inline(always)]
pub(super) fn log2(x: f32) -> f32 {
    const SQRT_HALF: u32 = 0x3f35_04f3;
    let shifted = x.to_bits().wrapping_sub(SQRT_HALF) as i32;
    let exponent = shifted >> 23;
    let u = f32::from_bits(x.to_bits().wrapping_sub((exponent << 23) as u32)) - 1.0;
    let mut p = -0.206_591_74_f32;
    p = p * u + 0.322_154_94;
    p = p * u - 0.367_490_02;
    p = p * u + 0.479_348;
    p = p * u - 0.721_131_86;
    p = p * u + 1.442_713_5;
    exponent as f32 + p * u
}

/// 2^x, relative error 3e-6; x is held within [-126, 126].
#[inline(always)]
pub(super) fn exp2(x: f32) -> f32 {
    // Adding 1.5 * 2^23 leaves the nearest whole number in the low bits.
    const MAGIC: f32 = 12_582_912.0;
    let x = x.clamp(-126.0, 126.0);
    let shifted = x + MAGIC;
    let f = x - (shifted - MAGIC);
    let scale = f32::from_bits((shifted.to_bits().wrapping_sub(MAGIC.to_bits()).wrapping_add(127)) << 23);
    let mut p = 0.009_570_101_f32;
    p = p * f + 0.055_917_863;
    p = p * f + 0.240_247_44;
    p = p * f + 0.693_121_8;
    p = p * f + 0.999_999_3;
    p * scale
}

/// The constants of attraction and repulsion.
#[derive(Clone, Copy, Debug)]
pub(super) struct Forces {
    /// Curve parameter a.
    pub(super) a: f32,
    /// Curve parameter b.
    pub(super) b: f32,
    /// Weight of repulsion.
    pub(super) gamma: f32,
}

/// Up to [`LANES`] other points, one array per coordinate.
pub(super) type Batch<const D: usize> = [[f32; LANES]; D];

/// Squared distances of `x` to a batch.
#[inline(always)]
fn squared_distances<const D: usize>(x: &[f32; D], others: &Batch<D>) -> [f32; LANES] {
    let mut squared = [0f32; LANES];
    for d in 0..D {
        for l in 0..LANES {
            let difference = x[d] - others[d][l];
            squared[l] += difference * difference;
        }
    }
    squared
}

/// How strongly each point of the batch pulls `x`: the share of the way to it, at most 1/2.
///
/// In the method's own formulation a visit moves both ends, and each edge is visited from both. Here a visit moves
/// its own end alone, by two such steps in one; were both ends to move by it, they would meet at most, not cross.
#[inline(always)]
pub(super) fn pulls<const D: usize>(x: &[f32; D], others: &Batch<D>, alpha: f32, forces: &Forces) -> [f32; LANES] {
    let squared = squared_distances(x, others);
    let mut pull = [0f32; LANES];
    for l in 0..LANES {
        let d2 = squared[l].max(1e-12);
        let power = exp2(forces.b * log2(d2));
        let strength = 2.0 * forces.a * forces.b * power / (d2 * (1.0 + forces.a * power));
        let step = (alpha * strength).min(0.5);
        pull[l] = 2.0 * step * (1.0 - step);
    }
    pull
}

/// Adds to `push` how the points of the batch whose `mask` is 1 (0: not there) repel `x`: each by at most 4 per
/// coordinate.
#[inline(always)]
pub(super) fn add_pushes<const D: usize>(
    x: &[f32; D],
    others: &Batch<D>,
    mask: &[f32; LANES],
    forces: &Forces,
    push: &mut Batch<D>,
) {
    let squared = squared_distances(x, others);
    let mut strength = [0f32; LANES];
    for l in 0..LANES {
        let power = exp2(forces.b * log2(squared[l].max(1e-12)));
        strength[l] = 2.0 * forces.gamma * forces.b / ((0.001 + squared[l]) * (1.0 + forces.a * power));
    }
    for d in 0..D {
        for l in 0..LANES {
            push[d][l] += mask[l] * (strength[l] * (x[d] - others[d][l])).clamp(-4.0, 4.0);
        }
    }
}

/// Sum by halves, in an order that suits vector registers.
#[inline(always)]
pub(super) fn sum(values: &[f32; LANES]) -> f32 {
    let mut half = [0f32; LANES / 2];
    for l in 0..LANES / 2 {
        half[l] = values[l] + values[l + LANES / 2];
    }
    let mut quarter = [0f32; LANES / 4];
    for l in 0..LANES / 4 {
        quarter[l] = half[l] + half[l + LANES / 4];
    }
    (quarter[0] + quarter[2]) + (quarter[1] + quarter[3])
}
