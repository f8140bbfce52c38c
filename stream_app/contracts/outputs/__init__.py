"""Records of the output topics, one module for each sort; `table` lists them."""
