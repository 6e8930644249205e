"""What the shared pages ask of each package, so that they need not know the packages behind them."""
