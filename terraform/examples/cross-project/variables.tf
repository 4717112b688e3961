variable "data_project_id" {
  description = "Id of the project in which accounts are created unless an identity has another."
  type        = string
}

variable "deletion_protection" {
  description = "Whether `terraform destroy` is refused for the pool and the provider."
  type        = bool
  default     = true
}

variable "jwks" {
  description = "Public keys, as `refresher keys jwks` prints them."
  type        = string
}

variable "keys_directory" {
  description = "The keys directory on the refresher's host."
  type        = string
  default     = "/var/lib/refresher/keys"
}

variable "other_project_id" {
  description = "Id of another project with an account."
  type        = string
}

variable "project_id" {
  description = "Id of the project that owns the pool."
  type        = string
}
