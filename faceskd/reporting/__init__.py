"""Tables, picture grids and curves: what any page is made of."""
