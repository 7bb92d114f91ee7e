"""Where records go besides the store: each sink at its own pace, behind the loader's back."""
