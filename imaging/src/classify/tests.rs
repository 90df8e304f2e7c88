use super::*;

#[test]
fn the_default_model_is_whole_and_bad_texts_are_refused() {
    let model = CellClassifier::default_model().unwrap();
    assert!(model.validation().groups >= 3 && model.validation().cells > 1000);
    let text = model.to_json();
    assert_eq!(&CellClassifier::from_json("copy", &text).unwrap(), model);
    let refused = |text: &str| CellClassifier::from_json("mine.json", text).unwrap_err().to_string();
    assert!(refused("{}").contains("mine.json"));
    assert!(refused(&text.replace("\"version\":2", "\"version\":9")).contains("version 9"));
    assert!(refused(&text.replacen("rival_near", "rival", 1)).contains("rival_far"));
}
