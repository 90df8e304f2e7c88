use zensaibo_core::random::Stream;

use super::*;

#[test]
fn matching_is_as_large_as_trying_everything() {
    fn most(near: &[Vec<usize>], at: usize, used: &mut Vec<bool>) -> usize {
        if at == near.len() {
            return 0;
        }
        let mut best = most(near, at + 1, used);
        for &f in &near[at] {
            if !used[f] {
                used[f] = true;
                best = best.max(1 + most(near, at + 1, used));
                used[f] = false;
            }
        }
        best
    }
    for seed in 0..60 {
        let mut random = Stream::new(seed, 0);
        let mut points = |n| (0..n).map(|_| [0; 3].map(|_| random.uniform() * 3.0)).collect::<Vec<[f64; 3]>>();
        let (found, truth) = (points(7), points(8));
        let matching = match_points(&found, &truth, 1.0).unwrap();
        let near: Vec<Vec<usize>> = truth
            .iter()
            .map(|t| (0..7).filter(|&f| (0..3).map(|a| (found[f][a] - t[a]).powi(2)).sum::<f64>() <= 1.0).collect())
            .collect();
        assert_eq!(matching.pairs.len(), most(&near, 0, &mut vec![false; 7]));
        let mut used: Vec<usize> = matching.pairs.iter().map(|pair| pair.0).collect();
        used.sort_unstable();
        used.dedup();
        assert_eq!(used.len(), matching.pairs.len());
        assert!(matching.pairs.iter().all(|pair| pair.2 <= 1.0));
    }
    assert!(match_points(&[], &[[0.0; 3]], 1.0).unwrap().pairs.is_empty());
    assert!(match_points(&[], &[], 0.0).unwrap_err().to_string().contains("radius"));
    assert!(match_points(&[[f64::NAN; 3]], &[], 1.0).unwrap_err().to_string().contains("point 0"));
}

#[test]
fn the_default_model_is_whole_and_bad_texts_are_refused() {
    let model = CellClassifier::default_model().unwrap();
    assert!(model.validation().groups >= 3 && model.validation().cells > 1000);
    let text = model.to_json();
    assert_eq!(&CellClassifier::from_json("copy", &text).unwrap(), model);
    let refused = |text: &str| CellClassifier::from_json("mine.json", text).unwrap_err().to_string();
    assert!(refused("{}").contains("mine.json"));
    assert!(refused(&text.replace("\"version\":1", "\"version\":9")).contains("version 9"));
    assert!(refused(&text.replacen("rival_near", "rival", 1)).contains("rival_far"));
}
